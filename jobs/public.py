"""The job as those outside see it: what the API answers (`web.render.JobShape` describes the fields), what webhooks carry."""

from __future__ import annotations

from typing import Any

from pydantic.alias_generators import to_camel
from pydantic_core import to_jsonable_python

from jobs.document import Job
from jobs.life import TRANSITIONS, Status
from jobs.media import media_names
from settings import settings


def as_json(job: Job) -> dict[str, Any]:
    """The job as JSON. Its links are whole addresses where `PUBLIC_URL` says how they begin, else paths."""
    shown = {
        "job_id": job.id,
        "type": job.kind,
        "user_id": job.user_id,
        "status": job.status,
        "progress": {"percent": job.progress.percent, "stage": job.progress.stage},
        "priority": job.priority,
        "position": None,
        "starts_in": None,
        "waiting_for": job.waiting_for,
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "error": job.error and {name: job.error[name] for name in ("code", "message", "retryable", "attempt", "at")},
        "provider": job.provider,
        "model_id": job.model_id,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "expires_at": job.expires_at,
        "usage": job.usage and {to_camel(name): value for name, value in job.usage.items()},
        "metadata": dict(job.metadata),
        "message_id": job.message_id,
        "related_jobs": job.related_jobs,
        "links": _links(job),
    }
    made: dict[str, Any] = to_jsonable_python({to_camel(name): value for name, value in shown.items()})
    return made


def job_url(job: Job) -> str:
    """The job's address; its path where nobody has said how addresses begin."""
    return f"{settings().public_url or ''}/api/jobs/{job.id}"


def _links(job: Job) -> dict[str, Any]:
    address = job_url(job)
    return {
        "self": address,
        "events": f"{address}/events",
        "result": f"{address}/result" if job.status is Status.COMPLETED else None,
        "media": [f"{address}/media/{name}" for name in media_names(job)],
        "cancel": f"{address}/cancel" if job.status in TRANSITIONS["request_cancel"].sources else None,
        "retry": f"{address}/retry" if job.status in TRANSITIONS["requeue"].sources else None,
    }
