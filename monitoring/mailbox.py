"""Celery's remote control, as clients use it: `celery inspect`, `celery control`, Flower, `app.control`."""

from __future__ import annotations

from typing import Any

from celery.app.control import Control
from kombu.utils.functional import maybe_list

from monitoring.cancelling import cancel
from monitoring.connection import monitor_connection

CANCELS = frozenset({"revoke", "terminate"})
HERE = "pressroom"
"""Who answers what no worker is asked for."""


class MonitorControl(Control):
    """Broadcasts over the monitor's connection. Revoking is cancelling the job: that needs neither worker nor monitor."""

    def __init__(self, app: Any = None) -> None:
        super().__init__(app)
        self.mailbox._producer_pool = None  # it would be the queues'

    def _after_fork(self) -> None:
        """There is no pool to forget."""

    def broadcast(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        destination: list[str] | None = None,
        connection: Any = None,
        reply: bool = False,
        timeout: float = 1.0,
        limit: int | None = None,
        callback: Any = None,
        channel: Any = None,
        pattern: str | None = None,
        matcher: str | None = None,
        **more: Any,
    ) -> Any:
        """
        Raises:
            kombu.exceptions.OperationalError: the monitor's store does not answer.
        """
        if command in CANCELS:
            return self._cancel((arguments or {}) | more, reply, callback)
        options = {"reply": reply, "timeout": timeout, "limit": limit, "callback": callback, "channel": channel}
        options |= {"pattern": pattern, "matcher": matcher, **more}
        if connection is not None:
            return super().broadcast(command, arguments, destination, connection, **options)
        with monitor_connection() as own:
            own.ensure_connection(max_retries=1, interval_start=0)
            return super().broadcast(command, arguments, destination, own, **options)

    def _cancel(self, arguments: dict[str, Any], reply: bool, callback: Any) -> list[dict[str, Any]] | None:
        answer = {HERE: cancel(maybe_list(arguments.get("task_id")) or [])}
        if callback is not None:
            callback(answer)
        return [answer] if reply else None
