"""The Celery app with a handler that hangs: `celery -A tests.tasks.hanging worker …`. The slot is written off at once."""

from __future__ import annotations

from threading import Event

from queues.steps import Step, listeners
from tasks import app
from tasks.pool import current_slot

__all__ = ["app"]


def hang(step: Step, job_id: str) -> None:
    slot = current_slot()
    if step is Step.CLAIMED and slot is not None:
        slot.write_off()
        Event().wait()


listeners.append(hang)
