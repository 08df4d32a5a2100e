"""Events on their way to the monitor: a bounded queue that takes no time, and one daemon thread that does the sending.

With the monitor's store stopped, slow or full the oldest events are dropped and counted. Nobody who works ever waits for it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from threading import Condition, Thread
from time import sleep
from typing import Any

import structlog
from kombu import Connection, Exchange, Producer

from jobs.counters import count
from monitoring.connection import away_errors, monitor_connection

log = structlog.get_logger()

Event = dict[str, Any]
Make = Callable[[], Event | None]
"""Makes an event once it is to be sent, or finds that there is nothing to say."""

MOST = 10_000
"""Events that wait at most."""
AT_ONCE = 100
"""Events that one message carries at most. Celery's readers take lists."""
GATHER_SECONDS = 0.5
"""So often what has come is sent, together: each message is an insert. Who looks on does not notice, and for whoever works no
thread wakes."""
BETWEEN_TRIES_SECONDS = 1.0
ROUTING_KEY = "event.multi"


class Outbox:
    """Sends events to an exchange of the monitor's connection."""

    def __init__(self, exchange: str, serializer: str, most: int = MOST) -> None:
        self._exchange = Exchange(exchange, type="topic")
        self._serializer = serializer
        self._most = most
        self._waiting: deque[Make] = deque()
        self._unsent = 0
        self._dropped = 0
        self._changed = Condition()
        self._must_hurry = threading.Event()
        """Somebody waits for what is unsent."""
        self._connection: Connection | None = None
        self._is_away = False
        Thread(target=self._run, name="monitor-outbox", daemon=True).start()

    def put(self, make: Make) -> None:
        """Have an event sent some time, or dropped."""
        with self._changed:
            self._waiting.append(make)
            self._unsent += 1
            if len(self._waiting) > self._most:
                self._waiting.popleft()
                self._drop(1)

    def flush(self, seconds: float) -> bool:
        """Wait until everything is sent; whether it is, within `seconds`."""
        self._must_hurry.set()
        try:
            with self._changed:
                return self._changed.wait_for(lambda: not self._unsent, timeout=seconds)
        finally:
            self._must_hurry.clear()

    def _drop(self, n: int) -> None:
        self._unsent -= n
        self._dropped += n

    def _run(self) -> None:
        while True:
            batch = self._take()
            try:
                events = [event for make in batch if (event := make()) is not None]
                while events and not self._is_sent(events):
                    sleep(BETWEEN_TRIES_SECONDS)  # what comes meanwhile waits, or pushes the oldest out
            except Exception:
                log.exception("events can't be sent; they are dropped", events=len(batch))
                with self._changed:
                    self._drop(len(batch))
                continue
            with self._changed:
                dropped, self._dropped = self._dropped, 0
            if dropped:
                log.warning("the monitor has missed events", dropped=dropped)
                count("monitor_dropped", dropped)
            with self._changed:
                self._unsent -= len(batch)
                self._changed.notify_all()

    def _take(self) -> list[Make]:
        if len(self._waiting) < AT_ONCE:
            self._must_hurry.wait(GATHER_SECONDS)
        with self._changed:
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), AT_ONCE))]

    def _is_sent(self, events: list[Event]) -> bool:
        connection = self._connection = self._connection or monitor_connection()
        away = away_errors(connection)
        try:
            Producer(connection, auto_declare=False).publish(
                events,
                exchange=self._exchange.name,
                routing_key=ROUTING_KEY,
                declare=[self._exchange],
                serializer=self._serializer,
                delivery_mode="transient",
                headers={"hostname": events[0].get("hostname")},
            )
        except away as error:
            if not self._is_away:
                log.warning("events can't be sent; trying on", reason=str(error)[:200])
            self._is_away = True
            self._connection = None
            with suppress(*away):
                connection.close()
            return False
        if self._is_away:
            log.info("events are sent again")
            self._is_away = False
        return True


@cache
def outbox(exchange: str, serializer: str) -> Outbox:
    """The process's outbox."""
    return Outbox(exchange, serializer)
