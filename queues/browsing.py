"""Look through a queue: receive page by page, and let others have again what was only looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from types import TracebackType
from typing import Self

import structlog

from queues.clients import QueueError
from queues.limits import BATCH_MESSAGES
from queues.queue import Depth, Message, Queue

log = structlog.get_logger()

LOOK_SECONDS = 60
"""How long a look that is killed keeps messages from others, at the most."""
WAIT_SECONDS = 1
"""Of a receive where SQS counts more messages than were seen. One that doesn't wait may miss some: SQS asks only some of its
servers then. One that waits and brings nothing has asked them all."""
BARREN_PAGES = 3
"""So many pages without a new message end a look that lasts so long that messages come round again."""


class Browser:
    """A look through a queue, as a context manager: what it received and did not delete is visible again at its end.

    It waits only for messages that SQS counts, and SQS counts about: what was sent within the last minute it may not see.
    On a FIFO queue it sees the first ten messages of each group, and those behind them as the first are deleted.
    (Receives are counted by SQS, which means something only to queues with a redrive policy; dead-letter queues have none.)
    """

    def __init__(self, queue: Queue, *, wait_seconds: int = WAIT_SECONDS) -> None:
        self.queue = queue
        self._wait_seconds = wait_seconds
        self._held: dict[str, str] = {}
        """By the messages' ids, the newest receipt handles of what was received and not deleted."""
        self._seen: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.queue.change_visibility(dict.fromkeys(self._held.values(), 0))
        except QueueError as fault:  # they are visible already, or will be when the look's time is over
            log.debug("messages that were looked at come again later", queue=self.queue.name, reason=str(fault))

    @cached_property
    def depth(self) -> Depth:
        """What the queue held when it was asked first, as SQS counts it.

        Raises:
            QueueError
        """
        return self.queue.depth()

    def pages(self) -> Iterator[list[Message]]:
        """The queue's messages, each once, up to ten at a time.

        Raises:
            QueueError: SQS is away, or the queue is missing.
        """
        barren = 0
        while barren < BARREN_PAGES:
            wait_seconds = self._wait_seconds if self._wait_seconds and self.depth.visible > len(self._seen) else 0
            received = self.queue.receive(BATCH_MESSAGES, visibility_seconds=LOOK_SECONDS, wait_seconds=wait_seconds)
            if not received:
                return
            self._held |= {message.message_id: message.receipt_handle for message in received}
            new = [message for message in received if message.message_id not in self._seen]
            self._seen.update(message.message_id for message in new)
            barren = 0 if new else barren + 1
            if new:
                yield new

    def delete(self, messages: Iterable[Message]) -> None:
        """Delete these messages, which it has received."""
        newest = {each.message_id: self._held.get(each.message_id, each.receipt_handle) for each in messages}
        self.queue.delete(newest.values())
        for message_id in newest:
            self._held.pop(message_id, None)
