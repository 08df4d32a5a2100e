"""What Celery knows of a delivery: its request, with one thing added for those who watch."""

from __future__ import annotations

from functools import partial
from typing import Any

import structlog
from billiard.einfo import ExceptionWithTraceback
from celery.exceptions import Ignore
from celery.worker.request import Request

from jobs.database import DatabaseUnavailable
from jobs.life import Status
from jobs.store import store

log = structlog.get_logger()

Found = tuple[str, dict[str, Any]]


class JobRequest(Request):
    """Says how a delivery ended that ended without a result: parked, handed back, cancelled, or nothing to do for it.

    Celery tells of none of these, and watchers would take the task for running for ever.
    """

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        answer = super().on_failure(exc_info, send_failed_event, return_ok)
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, Ignore) and self._eventer is not None:
            self._eventer.send_verdict(partial(what_became_of, self.id))
        return answer


def what_became_of(job_id: str) -> Found | None:
    """The event that tells where the job stands now; None where somebody works on it, or MongoDB does not answer."""
    try:
        job = store().get(job_id)
    except DatabaseUnavailable:
        return None
    if job is None:
        return "task-rejected", {"uuid": job_id, "requeue": False}
    reason = (job.error or {}).get("message", "")
    match job.status:
        case Status.PROCESSING:
            return None
        case Status.COMPLETED:
            return "task-succeeded", {"uuid": job_id, "result": "'completed'", "runtime": None}
        case Status.FAILED:
            return "task-failed", {"uuid": job_id, "exception": reason, "traceback": ""}
        case Status.CANCELLED | Status.EXPIRED:
            is_expired = job.status is Status.EXPIRED
            return "task-revoked", {"uuid": job_id, "terminated": not is_expired, "signum": None, "expired": is_expired}
    waits = (job.waiting_for or {}).get("reason") or job.status.value
    return "task-retried", {"uuid": job_id, "exception": f"the job waits: {waits}", "traceback": ""}
