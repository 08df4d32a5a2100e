"""What a worker does to a job, by the store's own verbs."""

from __future__ import annotations

from io import BytesIO
from uuid import uuid4

from jobs.content import save_article
from jobs.document import Job
from jobs.media import save_media
from jobs.store import store

ARTICLE = "# Bees\n\nBees dance."
PICTURE = bytes(range(256)) * 8


def claim(job_id: str) -> Job:
    submitted = store().get(job_id)
    assert submitted is not None
    job = store().claim(job_id, kind=submitted.kind, token=uuid4().hex, worker="test", message_id=None)
    assert job is not None
    return job


def finish_article(job_id: str) -> None:
    job = claim(job_id)
    assert job.lease
    result = save_article(job, title="Bees", content=ARTICLE, word_count=3)
    usage = {"input_tokens": 5, "output_tokens": 7, "images": 0, "video_seconds": 0.0}
    assert store().complete(job.id, job.lease.token, result=result, usage=usage)


def finish_image(job_id: str, *, name: str = "image.png", content_type: str = "image/png") -> None:
    job = claim(job_id)
    assert job.lease
    record = save_media(
        job, name=name, content_type=content_type, file=BytesIO(PICTURE), width=64, height=48, duration_seconds=None
    )
    assert store().complete(job.id, job.lease.token, result={"media": [record]}, usage={})


def fail(job_id: str) -> None:
    job = claim(job_id)
    assert job.lease
    assert store().fail(job.id, job.lease.token, code="provider_refused", message="No bees today.", retryable=False)
