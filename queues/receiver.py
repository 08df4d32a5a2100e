"""Receive messages of one queue on a thread of its own, as many as the process has room for.

A kind's lanes are a queue each, and share its room by turns (`queues.turns`); nobody above knows of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from threading import Event, Thread
from time import monotonic
from typing import ClassVar

import structlog

from queues.catalogue import NORMAL, kind_named
from queues.clients import QueueError, QueueMissing
from queues.deliveries import Deliveries, SetAside, Settlement, Visible
from queues.limits import BATCH_MESSAGES
from queues.per_minute import PerMinute
from queues.queue import Message, Queue, queue_for
from queues.steps import Step, reached
from queues.turns import Turns
from queues.wire import JobMessage, MalformedMessage, UnknownVersion, decode
from settings import settings

log = structlog.get_logger()

VISIBILITY_BEYOND_LEASE_SECONDS = 5
"""A dead worker's message comes back this long after its lease ended."""
BACKOFF_SECONDS = 0.5
BACKOFF_MOST_LEASES = 0.5
"""The longest wait between two tries, in leases: a loop that waits SQS out is never taken for a stuck one."""
ROOM_SECONDS = 1
"""How often a receiver without room, or with its queue paused, looks again."""
YIELD_SECONDS = 0.006
"""A process that had nothing to do lets what has come be claimed before it asks for more: with both at once the claim takes a
fifth longer."""
UNKNOWN_VERSION_SECONDS = 30
"""A message of a newer release comes again after this time, for a worker of that release."""

running: set[Receiver] = set()
"""Those that are to receive just now, for whoever watches over them."""


class Receiver:
    """Long-polls a queue of a kind while there is room, and takes what comes into the registry. SQS being away is waited out.

    With `turns` it is one of several lanes: what it knows to be there it asks for in its turn, without waiting. Its long polls
    ask for one message then, because the other lanes take the room meanwhile; what comes on top waits in the process.
    With room and not paused, an attempt is made at least every `SQS_WAIT_TIME_SECONDS`, half a lease and six seconds.
    """

    paused: ClassVar[Callable[[str], bool]] = lambda kind: False
    """Whether a kind's queue is paused, for every receiver of the process. Asked before each receive, so it must be quick."""

    def __init__(self, kind: str, held: Deliveries, lane: str = NORMAL, turns: Turns | None = None) -> None:
        self.kind = kind
        self.lane = lane
        self._held = held
        self._turns = turns
        self._most = 1 if kind_named(kind).fifo else BATCH_MESSAGES  # a second one of a group would wait for the first
        self._found_empty = False
        self._failures = 0
        self._stopped = Event()
        self.last_receive = monotonic()
        """When SQS last answered."""
        self.last_attempt = monotonic()
        """When a receive was last begun, answered or failed."""
        self.received = PerMinute()
        """The messages received."""
        self.had_room = False
        """Whether the last look found room."""
        self.is_paused = False
        """Whether the last look found the queue paused: nothing is received then."""
        self._thread = Thread(target=self._run, name=f"receiver-{kind}-{lane}", daemon=True)

    def start(self) -> None:
        running.add(self)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Receive no more. A long poll under way may still end with messages; they are let go at once."""
        running.discard(self)
        self._stopped.set()

    def join(self, seconds: float) -> bool:
        """Wait until a stopped receiver's loop has ended; whether it has, within `seconds`."""
        self._thread.join(seconds)
        return not self.is_alive

    def _run(self) -> None:
        while not self._stopped.is_set():
            room = self._look()
            if not room:
                self._found_empty = False
            elif self._found_empty or self._turns is None:
                with self._resting():
                    self._ask(room if self._turns is None else 1)
            else:
                self._ask_in_turn(self._turns)
            if self._failures:
                with self._resting():
                    self._wait_out()

    def _ask_in_turn(self, turns: Turns) -> None:
        with turns.turn(self.lane, ROOM_SECONDS) as most:
            if room := min(most, self._held.wait_for_room(0, self.kind)):  # another lane may have taken it
                turns.asked(self.lane, self._ask(room, wait_seconds=0))

    def _resting(self) -> AbstractContextManager[None]:
        return nullcontext() if self._turns is None else self._turns.rest(self.lane)

    def _ask(self, most: int, wait_seconds: int | None = None) -> int:
        """Receive once, and take what comes; how many messages that were."""
        visible_in = settings().lease_seconds + VISIBILITY_BEYOND_LEASE_SECONDS
        try:
            reached(Step.POLLING, self.kind)
            queue = queue_for(self.kind, self.lane)
            messages = queue.receive(most, visibility_seconds=visible_in, wait_seconds=wait_seconds)
        except QueueError as error:
            self._fail(error)
            return 0
        self._succeed(messages)
        for message in self._still_wanted(queue, messages):
            self._take(queue, message)
        if 0 < len(messages) < most and len(self._held) <= len(messages):
            self._stopped.wait(YIELD_SECONDS)
        return len(messages)

    def _still_wanted(self, queue: Queue, messages: list[Message]) -> list[Message]:
        """What to take: stopped, or with the queue paused, during the long poll, only what would be a dead letter if put back.

        (With a worker that stops it is what the worker holds at its end, for whoever lets go of that.)
        """
        if not messages or not (self._stopped.is_set() or type(self).paused(self.kind)):
            return messages
        last = [message for message in messages if message.receive_count >= kind_named(self.kind).max_receives]
        self._let_go(queue, [message for message in messages if message not in last])
        return last

    def _look(self) -> int:
        """How many messages to ask for now; none after a wait without room, or while the queue is paused."""
        room = self._held.wait_for_room(ROOM_SECONDS, self.kind)
        is_paused = type(self).paused(self.kind)
        if is_paused:
            self._stopped.wait(ROOM_SECONDS)
        if room and not is_paused:
            self.last_attempt = monotonic()  # before it is said that one may be expected
        self.had_room, self.is_paused = room > 0, is_paused
        return 0 if is_paused or self._stopped.is_set() else min(room, self._most)

    def _succeed(self, messages: list[Message]) -> None:
        self.last_receive = self.last_attempt = monotonic()
        self.received.count(len(messages))
        self._found_empty = not messages
        if self._failures:
            log.info("the queue answers again", kind=self.kind, lane=self.lane)
            self._failures = 0

    def _fail(self, error: QueueError) -> None:
        self.last_attempt = monotonic()
        self._found_empty = False
        self._failures += 1
        if self._failures == 1 or isinstance(error, QueueMissing):
            log.warning("can't receive; trying on", kind=self.kind, lane=self.lane, reason=str(error))

    def _wait_out(self) -> None:
        longest = min(BACKOFF_SECONDS * 2 ** min(self._failures, 10), settings().lease_seconds * BACKOFF_MOST_LEASES)
        self._stopped.wait(random.uniform(longest / 2, longest))

    def _take(self, queue: Queue, message: Message) -> None:
        said = read(self.kind, message)
        if isinstance(said, JobMessage):
            reached(Step.RECEIVED, said.job_id)
            self._held.arrive(queue, message, said)
        else:
            self._held.turn_away(queue, message, self.kind, said)

    def _let_go(self, queue: Queue, messages: list[Message]) -> None:
        try:
            queue.change_visibility({message.receipt_handle: 0 for message in messages})
        except QueueError as error:
            log.warning("messages received too late come again later", kind=self.kind, reason=str(error))


def read(kind: str, message: Message) -> JobMessage | Settlement:
    """What a message of the queue of `kind` says, or what becomes of one that nobody here can read."""
    try:
        said = decode(message.body, message.message_id)
        if said.kind != kind:
            raise MalformedMessage(f"field type is {said.kind!r}, but this is the queue of {kind}")
    except MalformedMessage as error:
        if isinstance(error, UnknownVersion) and message.receive_count < kind_named(kind).max_receives:
            log.warning("a message of a newer release waits for its worker", kind=kind, reason=str(error)[:200])
            return Visible(UNKNOWN_VERSION_SECONDS)
        return SetAside(str(error))
    return said
