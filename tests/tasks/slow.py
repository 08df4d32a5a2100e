"""The Celery app with handlers that take their time: `celery -A tests.tasks.slow worker …`."""

from __future__ import annotations

from time import sleep

from queues.steps import Step, listeners
from tasks import app

__all__ = ["app"]


def linger(step: Step, job_id: str) -> None:
    if step is Step.GENERATED:
        sleep(0.2)


listeners.append(linger)
