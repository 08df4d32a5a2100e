"""Send messages from many threads at once: those that come while others are under way share a request, up to ten.

Nobody waits for company: a message goes at once as long as few requests are under way. So a process that is asked for much
makes few requests, and one that is asked for little is as quick as without this.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from threading import Lock

from queues.clients import QueueError, QueueUnavailable
from queues.limits import BATCH_MESSAGES
from queues.queue import Outgoing, Queue

REQUESTS_AT_ONCE = 4
"""To a queue. What comes beyond waits for one of them to end, and goes with the others that wait."""


class _Waiting:
    """A message, and the thread that wants it sent."""

    def __init__(self, outgoing: Outgoing) -> None:
        self.outgoing = outgoing
        self.message_id: str | None = None
        self.error: QueueError | None = None
        self.is_done = False
        self.woken = Lock()
        """Held until it is done, or its thread is to make the next request."""
        self.woken.acquire()


class Post:
    """Of a process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: dict[Queue, list[_Waiting]] = defaultdict(list)
        self._under_way: dict[Queue, int] = defaultdict(int)

    def send(self, queue: Queue, outgoing: Outgoing) -> str:
        """SQS's id of the message, once it is sent.

        Raises:
            QueueError: it is not.
        """
        own = _Waiting(outgoing)
        with self._lock:
            goes = self._under_way[queue] < REQUESTS_AT_ONCE
            if goes:
                self._under_way[queue] += 1
            else:
                self._waiting[queue].append(own)
        if not goes:
            own.woken.acquire()
        if not own.is_done:
            self._send_with_others(queue, own)
        if own.message_id is None:
            raise own.error or QueueUnavailable(f"{queue.name}: SQS did not take the message")
        return own.message_id

    def _send_with_others(self, queue: Queue, own: _Waiting) -> None:
        """Make a request, and let whoever waits longest now make the next."""
        with self._lock:
            waiting = self._waiting[queue]
            together = [own, *waiting[: BATCH_MESSAGES - 1]]
            del waiting[: BATCH_MESSAGES - 1]
        try:
            _send(queue, together)
        finally:
            with self._lock:
                if waiting:
                    waiting.pop(0).woken.release()
                else:
                    self._under_way[queue] -= 1
            for each in together:
                each.is_done = True
                each.woken.release()


def _send(queue: Queue, together: Sequence[_Waiting]) -> None:
    ids: Sequence[str | None]
    try:
        if len(together) == 1:
            ids = [queue.send(together[0].outgoing)]
        else:
            ids = queue.send_batch([each.outgoing for each in together])
    except QueueError as error:
        for each in together:
            each.error = error
        return
    for each, message_id in zip(together, ids, strict=True):
        each.message_id = message_id


@cache
def post() -> Post:
    """The process's."""
    return Post()
