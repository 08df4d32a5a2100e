"""The Celery application."""

from __future__ import annotations

from celery import Celery

import tasks.worker  # noqa: F401 - connects the worker's signals
from monitoring.events import QueueEvents

app = Celery("pressroom", config_source="celeryconfig", events=QueueEvents)
