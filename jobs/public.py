"""The job as those outside see it: what the API answers, and what webhooks carry. Each field says what it is."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from jobs.document import Job
from jobs.life import TRANSITIONS, Status
from jobs.media import PICTURED, media_names


class Shape(BaseModel):
    """The base of what the API answers: camelCase outside."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True)


class ShortError(Shape):
    """Why a job did not succeed."""

    code: str = Field(description="A stable word, as in `provider_unavailable`.")
    message: str = Field(description="The same in words, with what to do.")


class JobError(ShortError):
    """Why the last attempt did not succeed."""

    retryable: bool = Field(description="Whether another attempt may help.")
    attempt: int = Field(description="The attempt it happened in.")
    at: datetime = Field(description="When.")


class ProgressShape(Shape):
    """How far a job is."""

    percent: int = Field(ge=0, le=100, description="How far it is.")
    stage: str = Field(description="What it is doing, in words for its user.")


class WaitingFor(Shape):
    """What a job waits for before it may start."""

    reason: str = Field(description="What it waits for.")
    until: datetime | None = Field(description="Until when, if that is known.")


class Usage(Shape):
    """What all of a job's attempts used."""

    input_tokens: int = Field(default=0, description="Tokens read.")
    output_tokens: int = Field(default=0, description="Tokens written.")
    images: int = Field(default=0, description="Images made.")
    video_seconds: float = Field(default=0, description="Seconds of video made.")
    seconds: float = Field(default=0, description="Seconds of the provider's work.")
    generations: int = Field(default=0, description="How often the provider finished; those of failed attempts count too.")
    cost: float | None = Field(default=None, description="What all of it cost; null where no price is known.")
    provider: str | None = Field(default=None, description="The AI provider that was asked last.")
    model: str | None = Field(default=None, description="The model that was asked last, if it is known.")


class Links(Shape):
    """Where to go from here."""

    self_: str = Field(alias="self", description="This job.")
    events: str = Field(description="What happens to it, as it happens (server-sent events).")
    result: str | None = Field(description="Its result, once it is completed.")
    media: list[str] = Field(description="Its files, once it is completed.")
    thumbnail: str | None = Field(
        default=None, description="A small picture of it, if it is one that gets some. A moment after its end it is there."
    )
    cancel: str | None = Field(description="POST here to cancel it; null once it is over.")
    retry: str | None = Field(description="POST here to start it over, if it ended without a result.")


class PublicJob(Shape):
    """A job."""

    job_id: str = Field(description="The job's id.")
    type: str = Field(description="The kind of job.")
    user_id: str = Field(description="Whose job it is.")
    status: Status = Field(description="Where the job is in its life.")
    progress: ProgressShape = Field(description="How far it is.")
    priority: Literal["normal", "high"] = Field(description="The lane it waits in.")
    position: int | None = Field(
        default=None,
        description="How many jobs of its type and priority start before it; null where nobody can tell, and in lists.",
    )
    starts_in: int | None = Field(
        default=None,
        description="In about how many seconds it starts, by the slots there are and the pace of the last five minutes; "
        "null as `position` is, and where nothing has ended yet.",
    )
    waiting_for: WaitingFor | None = Field(description="Why it does not start yet, if something holds it back.")
    attempts: int = Field(description="How often it was started.")
    max_attempts: int = Field(description="How often it may be started.")
    error: JobError | None = Field(description="Why it did not succeed, or why its last attempt did not.")
    provider: str | None = Field(description="The AI provider that was asked for; null for the server's own choice.")
    model_id: str | None = Field(description="The model that was asked for; null for the provider's own choice.")
    created_at: datetime = Field(description="When it was accepted.")
    started_at: datetime | None = Field(description="When a worker first took it.")
    finished_at: datetime | None = Field(description="When it came to its end.")
    expires_at: datetime | None = Field(description="When it ends by itself if it has not started.")
    usage: Usage | None = Field(description="What it has used so far.")
    metadata: dict[str, str] = Field(description="What its sender attached.")
    message_id: str | None = Field(description="SQS's id of its message; null while it waits to be sent.")
    related_jobs: list[str] = Field(description="Jobs that followed from it, as the image of an article.")
    links: Links = Field(description="Where to go from here.")

    @classmethod
    def seen_from(cls, base: str, job: Job, *, position: int | None = None, starts_in: int | None = None) -> Self:
        """The job, its links as addresses that begin with `base`."""
        return cls(
            job_id=job.id,
            type=job.kind,
            user_id=job.user_id,
            status=job.status,
            progress=ProgressShape(percent=job.progress.percent, stage=job.progress.stage),
            priority="high" if job.priority == "high" else "normal",
            position=position,
            starts_in=starts_in,
            waiting_for=WaitingFor.model_validate(job.waiting_for) if job.waiting_for else None,
            attempts=job.attempts,
            max_attempts=job.max_attempts,
            error=JobError.model_validate(job.error) if job.error else None,
            provider=job.provider,
            model_id=job.model_id,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
            expires_at=job.expires_at,
            usage=Usage.model_validate(job.usage) if job.usage else None,
            metadata=dict(job.metadata),
            message_id=job.message_id,
            related_jobs=job.related_jobs,
            links=_links(base, job),
        )


def job_path(job_id: str) -> str:
    """The path of a job."""
    return f"/api/jobs/{job_id}"


def media_path(job_id: str, name: str) -> str:
    """The path of a job's file."""
    return f"{job_path(job_id)}/media/{name}"


def _links(base: str, job: Job) -> Links:
    address = base + job_path(job.id)
    return Links(
        self_=address,
        events=f"{address}/events",
        result=f"{address}/result" if job.status is Status.COMPLETED else None,
        media=[base + media_path(job.id, name) for name in media_names(job)],
        thumbnail=f"{address}/thumbnail" if job.status is Status.COMPLETED and job.kind in PICTURED else None,
        cancel=f"{address}/cancel" if job.status in TRANSITIONS["request_cancel"].sources else None,
        retry=f"{address}/retry" if job.status in TRANSITIONS["requeue"].sources else None,
    )
