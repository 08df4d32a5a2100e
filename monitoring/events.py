"""Celery's events. They go by the process's outbox to the monitor, whatever connection Celery offers: SQS has no broadcast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import time
from typing import Any

from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher
from celery.events.event import group_from
from celery.utils.time import utcoffset

from monitoring.connection import monitor_connection
from monitoring.outbox import Event, Outbox, outbox

Verdict = Callable[[], tuple[str, dict[str, Any]] | None]
"""Finds out the type and the fields of an event, or that there is none."""


class Dispatcher(EventDispatcher):
    """Sends nothing itself, so it never waits and never fails."""

    DISABLED_TRANSPORTS = frozenset[str]()

    def __init__(self, connection: Any = None, hostname: str | None = None, enabled: bool = True, **options: Any) -> None:
        options.pop("channel", None)  # the queues', as `connection` is
        super().__init__(monitor_connection(), hostname, enabled, **options)

    @property
    def outbox(self) -> Outbox:
        return outbox(self.exchange.name, self.serializer)

    def send(self, type: str, blind: bool = False, **fields: Any) -> None:
        """Say that something happened, now. The event is made on the outbox's thread: three are sent for each task."""
        if self.enabled and (not self.groups or group_from(type) in self.groups):
            clock = None if blind else self.clock.forward()
            self.outbox.put(partial(self._made, type, fields | {"timestamp": time(), "clock": clock}))

    def _made(self, type: str, fields: dict[str, Any]) -> Event:
        return {"hostname": self.hostname, "utcoffset": utcoffset(), "pid": self.pid, **fields, "type": type}

    def send_verdict(self, find: Verdict) -> None:
        """Send what `find` says, asked on the outbox's thread: it may take its time."""
        if self.enabled:
            self.outbox.put(partial(self._event_of, find))

    def _event_of(self, find: Verdict) -> Event | None:
        found = find()
        if found is None:
            return None
        event: Event = self._prepare_event(*found)
        return event

    def _publish(self, event: Event, *args: Any, **kwargs: Any) -> None:
        self.outbox.put(lambda: event)


class MonitorEvents(Events):
    """What `app.events` is."""

    dispatcher_cls = Dispatcher

    @contextmanager
    def default_dispatcher(
        self, hostname: str | None = None, enabled: bool = True, buffer_while_offline: bool = False
    ) -> Iterator[Dispatcher]:
        with self.Dispatcher(None, hostname, enabled) as dispatcher:
            yield dispatcher
