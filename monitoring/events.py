"""Celery's events. SQS has no broadcast, so none are sent over it."""

from __future__ import annotations

from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher


class Dispatcher(EventDispatcher):
    """Knows that the queues' transport carries no events."""

    DISABLED_TRANSPORTS = EventDispatcher.DISABLED_TRANSPORTS | {"sqs"}


class QueueEvents(Events):
    """What `app.events` is."""

    dispatcher_cls = Dispatcher
