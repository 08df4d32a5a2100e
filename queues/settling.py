"""Carry out what was decided about deliveries, on a thread of its own: deletes and visibility changes, by tens.

A failed request loses nothing: the message comes again, and the job's document says what it is worth then.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from threading import Condition, Event, Thread

import structlog

from queues.clients import QueueError
from queues.deliveries import Delete, Delivery, Leave, SetAside, Visible
from queues.limits import BATCH_MESSAGES
from queues.queue import Queue
from queues.setting_aside import set_aside
from queues.steps import Step, reached

log = structlog.get_logger()

GATHER_SECONDS = 0.1
"""How long a settlement may wait for others to share its request. Nobody waits for it, but for those of a queue that keeps an
order: SQS gives the next message of a group only after it, so such a one is carried out at once."""


class Settler:
    """Takes settled deliveries from any thread; the requests are made by its own, which wakes for a full one or a late one."""

    def __init__(self) -> None:
        self._waiting: deque[Delivery | Event] = deque()
        self._urgent = 0
        """How many of these nothing is to be waited for."""
        self._changed = Condition()
        self._thread: Thread | None = None

    def put(self, delivery: Delivery) -> None:
        if not isinstance(delivery.settlement, Leave):
            self._put(delivery)

    def flush(self, seconds: float) -> bool:
        """Wait until all that was put before is carried out; whether it was, within `seconds`."""
        if self._thread is None:
            return True
        done = Event()
        self._put(done)
        return done.wait(seconds)

    def _put(self, entry: Delivery | Event) -> None:
        with self._changed:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="settler", daemon=True)
                self._thread.start()
            self._waiting.append(entry)
            self._urgent += _is_urgent(entry)
            if len(self._waiting) == 1 or self._is_due():
                self._changed.notify()

    def _is_due(self) -> bool:
        return len(self._waiting) >= BATCH_MESSAGES or self._urgent > 0

    def _run(self) -> None:
        while True:
            entries = self._gather()
            try:
                _carry_out([entry for entry in entries if isinstance(entry, Delivery)])
            except Exception:
                log.exception("settling broke; the messages come again")
            for entry in entries:
                if isinstance(entry, Event):
                    entry.set()

    def _gather(self) -> list[Delivery | Event]:
        """At least one entry, and what comes within the gathering time."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            self._changed.wait_for(self._is_due, timeout=GATHER_SECONDS)
            gathered = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MESSAGES))]
            self._urgent -= sum(map(_is_urgent, gathered))
            return gathered


def _is_urgent(entry: Delivery | Event) -> bool:
    return isinstance(entry, Event) or entry.queue.is_fifo


def _carry_out(settled: list[Delivery]) -> None:
    """Setting aside comes last: a dead-letter queue that does not answer holds up nobody's acknowledgement in this round."""
    _delete(delivery for delivery in settled if isinstance(delivery.settlement, Delete))
    put_off(delivery for delivery in settled if isinstance(delivery.settlement, Visible))
    _delete(delivery for delivery in settled if is_set_aside(delivery))


def _delete(settled: Iterable[Delivery]) -> None:
    for queue, those in _by_queue(settled):
        handles = [delivery.message.receipt_handle for delivery in those]
        _failed("delete messages", those, partial(queue.delete, handles))


def put_off(settled: Iterable[Delivery]) -> None:
    """Have messages come again when their settlements, each a `Visible`, say. Where that fails, who asked to know is told."""
    for queue, those in _by_queue(settled):
        seconds = {
            delivery.message.receipt_handle: delivery.settlement.seconds
            for delivery in those
            if isinstance(delivery.settlement, Visible)
        }
        for delivery in _failed("change visibility", those, partial(queue.change_visibility, seconds)):
            _tell_failed(delivery)


def _tell_failed(delivery: Delivery) -> None:
    try:
        if delivery.on_put_off_failed is not None:
            delivery.on_put_off_failed()
    except Exception:
        log.exception("nobody was told of a failed visibility change", job_id=delivery.job.job_id)


def is_set_aside(delivery: Delivery) -> bool:
    """Whether the delivery was to be set aside, and the dead-letter queue has taken it."""
    reason = delivery.settlement.reason if isinstance(delivery.settlement, SetAside) else None
    return reason is not None and set_aside(delivery.job.kind, delivery.message, reason, delivery.job.job_id)


def _by_queue(settled: Iterable[Delivery]) -> Iterator[tuple[Queue, list[Delivery]]]:
    found: dict[Queue, list[Delivery]] = defaultdict(list)
    for delivery in settled:
        found[delivery.queue].append(delivery)
    yield from found.items()


def _failed(what: str, settled: list[Delivery], request: Callable[[], None]) -> list[Delivery]:
    """Make the request; the deliveries that it was not done for."""
    failed: list[Delivery] = []
    try:
        request()
    except QueueError as error:
        failed = [delivery for delivery in settled if error.concerns(delivery.message.receipt_handle)]
        log.warning(f"could not {what}; they come again", messages=len(failed), reason=str(error))
    for delivery in settled:
        if delivery not in failed:
            reached(Step.ACKNOWLEDGED, delivery.job.job_id)
    return failed


@cache
def settler() -> Settler:
    """The process's settler."""
    return Settler()
