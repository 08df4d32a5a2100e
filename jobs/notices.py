"""What those hear who want to know of a job's end, as payloads of the kinds that tell them."""

from __future__ import annotations

from typing import Any

from jobs.document import Job
from jobs.public import PublicJob
from jobs.subjects import subject_of
from settings import settings


def webhook_notice(job: Job) -> dict[str, Any]:
    """`{"url", "type", "timestamp", "jobId", "data"}`: the job as it was at its end, for the address that its order named.

    Its links are paths where `PUBLIC_URL` does not say how addresses begin.
    """
    assert job.finished_at is not None
    ended = PublicJob.seen_from(settings().public_url or "", job).model_dump(mode="json", by_alias=True)
    return {
        "url": (job.callback or {})["url"],
        "type": f"job.{job.status}",
        "timestamp": ended["finishedAt"],
        "jobId": job.id,
        "data": ended,
    }


def mail_notice(job: Job) -> dict[str, Any]:
    """`{"to", "template", "data"}`: the news that what the user ordered is there."""
    page = f"{settings().public_url}/jobs/{job.id}" if settings().public_url else ""
    data = {"kind": job.kind, "jobId": job.id, "subject": subject_of(job.payload), "url": page}
    return {"to": job.payload["userEmail"], "template": "completed", "data": data}


def count_of_end(job: Job) -> dict[str, Any]:
    """`{"events": […]}`: one event, whose subject is the kind and how it ended, as in `articles.completed`."""
    assert job.finished_at is not None
    return {"events": [{"event": "user_action", "subject": f"{job.kind}.{job.status}", "at": job.finished_at.isoformat()}]}
