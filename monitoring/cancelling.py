"""Revoking a task is cancelling its job: the document, and at the provider what it may be making."""

from __future__ import annotations

from collections.abc import Iterable

from jobs.database import DatabaseUnavailable
from jobs.store import store


def cancel(job_ids: Iterable[str]) -> dict[str, str]:
    """Ask for the end of these jobs; what came of it, as Celery's commands answer: under `ok` or under `error`."""
    try:
        return {"ok": "; ".join(f"{job_id}: {_cancel(job_id)}" for job_id in job_ids) or "no task was named"}
    except DatabaseUnavailable as error:
        return {"error": f"MongoDB can't be reached, so nothing may be cancelled: {str(error)[:200]}"}


def _cancel(job_id: str) -> str:
    job = store().get(job_id)
    if job is None:
        return "there is no such job"
    asked = store().request_cancel(job.id, job.user_id)
    if asked is None:
        return "over already"
    return "cancelled" if asked.status.is_final else "told to stop; it is cancelled within seconds"
