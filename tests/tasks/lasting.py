"""The Celery app with handlers that last until their worker leaves: `celery -A tests.tasks.lasting worker …`."""

from __future__ import annotations

from time import sleep

from queues.steps import Step, listeners
from tasks import app
from tasks.leaving import receipt

__all__ = ["app"]


def last(step: Step, job_id: str) -> None:
    while step is Step.GENERATED and not receipt.running:
        sleep(0.01)


listeners.append(last)
