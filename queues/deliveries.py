"""The deliveries that this process holds: messages received and not settled yet.

There is one registry for the process. It belongs to no connection: losing one releases nothing that runs. Each delivery is
settled once, as whoever worked on it decided; until then its message stays invisible at SQS.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from queue import SimpleQueue
from threading import Condition

from queues.limits import BATCH_MESSAGES
from queues.queue import Message, Queue
from queues.wire import JobMessage

SHORT_SECONDS = 1.0
"""Runs shorter than this make a receive for each free slot a request for nearly each job."""
AHEAD = 32
"""So many jobs are claimed at most before there is a slot for them."""
RECORDING = 12
"""So many are recorded at most after they have left theirs. (With more the threads take each other the interpreter away.)"""
SURPLUS = AHEAD + RECORDING + 2 * BATCH_MESSAGES
"""As many deliveries of a kind with short runs are in the process at most, beyond its slots: so ten are asked for while ten
still wait. Never more than the slots do in `SHORT_SECONDS`."""


@dataclass(frozen=True)
class Delete:
    """The message has done its work."""


@dataclass(frozen=True)
class Visible:
    """Let the message come again after so many seconds."""

    seconds: int = 0


@dataclass(frozen=True)
class Leave:
    """Do nothing: the message comes again when its visibility timeout ends."""


@dataclass(frozen=True)
class SetAside:
    """Nobody can do anything with the message: into the dead-letter queue with the reason, then deleted."""

    reason: str


Settlement = Delete | Visible | Leave | SetAside


@dataclass
class Delivery:
    """One receive of one message. `settlement` is what happens to the message when Celery acknowledges it.

    Until somebody decided otherwise it is left to come again: a decision that was lost costs a delivery, never the job.
    """

    queue: Queue
    message: Message
    job: JobMessage
    tag: str
    settlement: Settlement = field(default_factory=Leave)
    on_put_off_failed: Callable[[], object] | None = None
    """Called, on the settler's thread, where `Visible` could not be carried out: the message may come at any time, or never."""


class Deliveries:
    """The registry, and how many more this process has room for."""

    def __init__(self) -> None:
        self._held: dict[str, Delivery] = {}
        self._slots = self._written_off = self._capacity = 0
        self._run_seconds: dict[str, float] = {}
        self._waiting: Counter[str] = Counter()
        self._closed = False
        self._changed = Condition()
        self._tags = itertools.count(1)
        self._arrivals: SimpleQueue[Delivery | None] = SimpleQueue()
        self.on_settled: Callable[[Delivery], None] = lambda delivery: None

    def __len__(self) -> int:
        return len(self._held)

    def set_capacity(self, slots: int) -> None:
        """How many deliveries this process works on at once."""
        with self._changed:
            self._slots = slots
            self._set_room()

    def set_written_off(self, slots: int) -> None:
        """How many of the slots hang: nothing is received for them."""
        with self._changed:
            self._written_off = slots
            self._set_room()

    def _set_room(self) -> None:
        self._capacity = self._slots - self._written_off
        self._changed.notify_all()

    def ran(self, kind: str, seconds: float) -> None:
        """An attempt of this kind took so long. The recent ones decide how many deliveries a receive asks for."""
        with self._changed:
            self._run_seconds[kind] = (seconds + 3 * self._run_seconds.get(kind, seconds)) / 4

    def arrive(self, queue: Queue, message: Message, job: JobMessage) -> None:
        """Take a received message into the registry, for the consumer to fetch."""
        delivery = Delivery(queue, message, job, tag=str(next(self._tags)))
        with self._changed:
            self._held[delivery.tag] = delivery
        self._arrivals.put(delivery)

    def turn_away(self, queue: Queue, message: Message, kind: str, settlement: Settlement) -> None:
        """Settle a received message that names no job we can work on."""
        self.on_settled(Delivery(queue, message, JobMessage("", "", kind), tag="", settlement=settlement))

    def next_arrival(self, seconds: float | None) -> Delivery | None:
        """The next delivery that nobody fetched yet; None where the wait was ended by `close`.

        Raises:
            queue.Empty: none came in time, or this process takes no more.
        """
        return self._arrivals.get(timeout=0 if self._closed else seconds)

    def close(self) -> None:
        """Hand out no more and end the consumer's wait now. Takes no lock, so a signal handler may call it."""
        self._closed = True
        self._arrivals.put(None)

    def release(self) -> None:
        """Let go of everything still held, for other workers to receive at once."""
        for delivery in self.all():
            self.settle(delivery.tag, Visible(0))

    def get(self, tag: str) -> Delivery | None:
        return self._held.get(tag)

    def all(self) -> list[Delivery]:
        with self._changed:
            return list(self._held.values())

    def settle(self, tag: str, settlement: Settlement | None = None) -> None:
        """Let go of a delivery, its message treated as its settlement says. Settling twice is harmless, and usual: Celery
        acknowledges what its job has settled."""
        if tag not in self._held:
            return
        with self._changed:
            delivery = self._held.pop(tag, None)
            if self._is_room_awaited():  # else who waits would look in vain, once for each job
                self._changed.notify_all()
        if delivery is not None:
            delivery.settlement = settlement or delivery.settlement
            self.on_settled(delivery)

    def wait_for_room(self, seconds: float, kind: str = "") -> int:
        """How many more deliveries of `kind` there is room for, waiting up to `seconds` for the first place.

        A place is a free slot. Where the kind's recent runs were short there is room for ten at once, which wait; never
        while another kind waits for a slot.
        """
        with self._changed:
            self._waiting[kind] += 1
            try:
                self._changed.wait_for(lambda: self._room(kind) > 0, timeout=seconds)
                return self._room(kind)
            finally:
                self._waiting[kind] -= 1

    def _is_room_awaited(self) -> bool:
        """Whether somebody waits for room that there is."""
        return any(count and self._room(kind) > 0 for kind, count in self._waiting.items())

    def _room(self, kind: str) -> int:
        free = max(self._capacity - len(self._held), 0)
        others_wait = any(count for other, count in self._waiting.items() if other != kind)
        ahead = 0 if others_wait else self._ahead(self._run_seconds.get(kind, SHORT_SECONDS))
        surplus = self._capacity + ahead - len(self._held)
        return surplus if ahead and surplus >= min(ahead, BATCH_MESSAGES) else free

    def _ahead(self, run_seconds: float) -> int:
        """How many deliveries of runs that long may wait for a slot."""
        if run_seconds >= SHORT_SECONDS:
            return 0
        done_in_time = self._capacity * SHORT_SECONDS / max(run_seconds, SHORT_SECONDS / 1_000)
        return min(SURPLUS, int(done_in_time))


@cache
def deliveries() -> Deliveries:
    """The process's registry."""
    return Deliveries()
