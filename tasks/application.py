"""The Celery application."""

from __future__ import annotations

import tasks.worker  # noqa: F401 - connects the worker's signals
from monitoring.events import QueueEvents
from tasks.calls import SubmittingCelery

app = SubmittingCelery("pressroom", config_source="celeryconfig", events=QueueEvents)
