"""Jobs as the endpoints of the system's documents show them: in brief."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field

from jobs.document import Job
from jobs.life import Status
from web.render import ArticleText, MediaFile, Shape, ShortError


class Accepted(Shape):
    """The order was accepted; the job is on its way."""

    success: Literal[True] = True
    job_id: str = Field(description="The job's id, for asking how it is.")
    message: str = Field(default="Job queued successfully", description="The same in words.")


class AcceptedMany(Shape):
    """The orders were accepted, each as a job of its own."""

    success: Literal[True] = True
    job_ids: list[str] = Field(description="The jobs' ids, in the order of `topics`.")
    message: str = Field(description="The same in words.")

    @classmethod
    def of(cls, jobs: list[Job]) -> Self:
        words = "1 job queued successfully" if len(jobs) == 1 else f"{len(jobs)} jobs queued successfully"
        return cls(job_ids=[job.id for job in jobs], message=words)


class ContentJob(Shape):
    """A job in brief."""

    job_id: str = Field(description="The job's id.")
    type: str = Field(description="The kind of job.")
    status: Status = Field(description="Where the job is in its life.")
    progress: int = Field(ge=0, le=100, description="How far it is, in percent.")
    message: str = Field(description="What it is doing, in words for its user.")
    attempts: int = Field(description="How often it was started.")
    created_at: datetime = Field(description="When it was accepted.")
    started_at: datetime | None = Field(description="When a worker first took it.")
    finished_at: datetime | None = Field(description="When it came to its end.")
    error: ShortError | None = Field(description="Why it did not succeed, or why its last attempt did not.")
    result: ArticleText | None = Field(description="The article, once the job is completed.")

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(
            job_id=job.id,
            type=job.kind,
            status=job.status,
            progress=job.progress.percent,
            message=_in_words(job),
            attempts=job.attempts,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            error=ShortError.model_validate(job.error) if job.error else None,
            result=ArticleText.of(job),
        )


class MediaJob(Shape):
    """A job and what it made."""

    job: ContentJob
    media: list[MediaFile] | None = Field(description="The files, once the job is completed.")

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(job=ContentJob.of(job), media=MediaFile.all_of(job) or None)


def _in_words(job: Job) -> str:
    """What the job is doing; of one that did not succeed, why."""
    if job.status.is_final and job.error:
        message: Any = job.error["message"]
        return str(message)
    return job.progress.stage or job.status.capitalize()
