"""The deliveries that this process holds: messages received and not settled yet.

There is one registry for the process. It belongs to no connection: losing one releases nothing that runs. Each delivery is
settled once, as whoever worked on it decided; until then its message stays invisible at SQS.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from queue import SimpleQueue
from threading import Condition

from queues.queue import Message, Queue
from queues.wire import JobMessage


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


Settlement = Delete | Visible | Leave


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


class Deliveries:
    """The registry, and how many more this process has room for."""

    def __init__(self) -> None:
        self._held: dict[str, Delivery] = {}
        self._capacity = 0
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
            self._capacity = slots
            self._changed.notify_all()

    def arrive(self, queue: Queue, message: Message, job: JobMessage) -> None:
        """Take a received message into the registry, for the consumer to fetch."""
        delivery = Delivery(queue, message, job, tag=str(next(self._tags)))
        with self._changed:
            self._held[delivery.tag] = delivery
        self._arrivals.put(delivery)

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
        """Let go of a delivery, its message treated as its settlement says. Settling twice is harmless."""
        with self._changed:
            delivery = self._held.pop(tag, None)
            self._changed.notify_all()
        if delivery is not None:
            delivery.settlement = settlement or delivery.settlement
            self.on_settled(delivery)

    def wait_for_room(self, seconds: float) -> int:
        """How many more deliveries there is room for, waiting up to `seconds` for the first place."""
        with self._changed:
            self._changed.wait_for(lambda: self._capacity > len(self._held), timeout=seconds)
            return max(self._capacity - len(self._held), 0)


@cache
def deliveries() -> Deliveries:
    """The process's registry."""
    return Deliveries()
