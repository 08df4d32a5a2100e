"""Carry out what was decided about deliveries, on a thread of its own: deletes and visibility changes, by tens.

A failed request loses nothing: the message comes again, and the job's document says what it is worth then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import cache, partial
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from time import monotonic

import structlog

from queues.clients import QueueError
from queues.deliveries import Delete, Delivery, Visible
from queues.limits import BATCH_MESSAGES
from queues.queue import Queue

log = structlog.get_logger()

GATHER_SECONDS = 0.03
"""How long a settlement may wait for others to share its request."""


class Settler:
    """Takes settled deliveries from any thread; the requests are made by its own."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Delivery | Event] = SimpleQueue()
        self._starting = Lock()
        self._thread: Thread | None = None

    def put(self, delivery: Delivery) -> None:
        if isinstance(delivery.settlement, Delete | Visible):
            self._start()
            self._waiting.put(delivery)

    def flush(self, seconds: float) -> bool:
        """Wait until all that was put before is carried out; whether it was, within `seconds`."""
        if self._thread is None:
            return True
        reached = Event()
        self._waiting.put(reached)
        return reached.wait(seconds)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="settler", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            settled, reached = self._gather()
            _carry_out(settled)
            for event in reached:
                event.set()

    def _gather(self) -> tuple[list[Delivery], list[Event]]:
        """At least one entry, and what comes within the gathering time."""
        settled: list[Delivery] = []
        reached: list[Event] = []
        until: float | None = None
        while True:
            try:
                entry = self._waiting.get(timeout=None if until is None else max(until - monotonic(), 0))
            except Empty:
                return settled, reached
            if isinstance(entry, Event):
                reached.append(entry)
                return settled, reached
            settled.append(entry)
            until = until or monotonic() + GATHER_SECONDS
            if len(settled) >= BATCH_MESSAGES:
                return settled, reached


def _carry_out(settled: list[Delivery]) -> None:
    deletes: dict[Queue, list[str]] = defaultdict(list)
    changes: dict[Queue, dict[str, int]] = defaultdict(dict)
    for delivery in settled:
        if isinstance(delivery.settlement, Visible):
            changes[delivery.queue][delivery.message.receipt_handle] = delivery.settlement.seconds
        else:
            deletes[delivery.queue].append(delivery.message.receipt_handle)
    for queue, handles in deletes.items():
        _try("delete messages", partial(queue.delete, handles))
    for queue, seconds in changes.items():
        _try("change visibility", partial(queue.change_visibility, seconds))


def _try(what: str, request: Callable[[], None]) -> None:
    try:
        request()
    except QueueError as error:
        log.warning(f"could not {what}; they come again", reason=str(error))


@cache
def settler() -> Settler:
    """The process's settler."""
    return Settler()
