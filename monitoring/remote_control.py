"""A worker's ear for remote commands: Celery's own mailbox, on the monitor's connection and on a thread of its own.

It can neither hold up nor break what the worker does: with the monitor's store away it waits, and comes back by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import Event, Thread
from typing import Any

import structlog
from celery import bootsteps
from celery.worker.pidbox import Pidbox
from kombu import Connection

import monitoring.commands  # noqa: F401 - takes the place of some of Celery's
from monitoring.connection import away_errors, monitor_connection

log = structlog.get_logger()

DRAIN_SECONDS = 1.0
BETWEEN_TRIES_SECONDS = 2.0


class Mailbox(Pidbox):
    """Celery's mailbox, whose handlers run on our thread beside the worker's."""

    def __init__(self, consumer: Any) -> None:
        super().__init__(consumer)
        self.node.state.tset = snapshot
        self._stopped = Event()
        self._is_away = False

    def start(self, consumer: Any) -> None:
        self._stopped.clear()
        Thread(target=self._run, args=(self._stopped,), name="remote-control", daemon=True).start()

    def stop(self, consumer: Any) -> None:
        """Nobody waits for the thread: it is idle, or answers somebody."""
        self._stopped.set()
        self._stopped = Event()

    shutdown = stop

    def reset(self) -> None:
        """A command failed; the connection is as good as before."""

    def _run(self, stopped: Event) -> None:
        while not stopped.is_set():
            with monitor_connection() as connection:
                self._listen(connection, stopped)
            stopped.wait(BETWEEN_TRIES_SECONDS)

    def _listen(self, connection: Connection, stopped: Event) -> None:
        try:
            self.node.channel = connection.channel()
            with self.node.listen(callback=self.on_message):
                self._say_back()
                while not stopped.is_set():
                    try:
                        connection.drain_events(timeout=DRAIN_SECONDS)
                    except TimeoutError:
                        continue
        except away_errors(connection) as error:
            if not self._is_away:
                log.warning("remote commands can't be heard; trying on", reason=str(error)[:200])
            self._is_away = True
        except Exception:
            log.exception("the remote control broke; it begins anew")

    def _say_back(self) -> None:
        if self._is_away:
            log.info("remote commands are heard again")
        self._is_away = False


class RemoteControl(bootsteps.StartStopStep):
    """Takes the place of Celery's step of that purpose, which stands aside where the queues have no broadcast."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        mailbox = Mailbox(consumer)
        self.start = mailbox.start
        self.stop = mailbox.stop
        self.shutdown = mailbox.shutdown
        super().__init__(consumer, **options)

    def include_if(self, consumer: Any) -> bool:
        return bool(consumer.app.conf.worker_enable_remote_control)


def snapshot(requests: Iterable[Any]) -> set[Any]:
    """The requests of a set that other threads add to."""
    while True:
        try:
            return set(requests)
        except RuntimeError:  # it grew meanwhile
            continue
