"""The Celery application."""

from __future__ import annotations

from typing import Any

import tasks.worker  # noqa: F401 - connects the worker's signals
from monitoring.connection import monitor_connection
from monitoring.events import MonitorEvents
from monitoring.mailbox import MonitorControl
from monitoring.remote_control import RemoteControl
from tasks.calls import SubmittingCelery


class Pressroom(SubmittingCelery):
    """Jobs travel on SQS, and what is said about them on the monitor's connection."""

    is_worker = False
    """Whether this process consumes the queues. Whoever else asks for a connection wants to watch: Flower, `celery events`."""

    def connection(self, *args: Any, **options: Any) -> Any:
        return super().connection(*args, **options) if self.is_worker else monitor_connection()

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        return super().connection_for_read(url, **options) if self.is_worker else monitor_connection()

    def uses_utc_timezone(self) -> bool:
        """Celery works this out anew for every message. No message of ours says when it is due."""
        return True


app = Pressroom("pressroom", config_source="celeryconfig", events=MonitorEvents, control=MonitorControl)
app.steps["consumer"].add(RemoteControl)
