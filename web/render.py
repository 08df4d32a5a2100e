"""Jobs as the API shows them. The OpenAPI document is made from these shapes, so they say what each field is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Self

from flask import Response, request, url_for
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from jobs.content import article
from jobs.document import Job
from jobs.forecast import NOTHING, Forecast
from jobs.life import TRANSITIONS, Status
from jobs.media import media_names, media_of
from jobs.resumes import Resume
from settings import settings


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


class ArticleText(Shape):
    """A finished article."""

    title: str = Field(description="The article's title.")
    content: str = Field(description="The article in Markdown, its title the first heading.")
    word_count: int = Field(description="How many words it has.")
    content_id: str = Field(description="The id it is stored under.")

    @classmethod
    def of(cls, job: Job) -> Self | None:
        """None where the job has no article."""
        found = article(job)
        return cls(**found) if found else None


class MediaFile(Shape):
    """An image or a video."""

    name: str = Field(description="The file's name.")
    url: str = Field(description="Where to fetch it.")
    content_type: str = Field(description="Its media type, as in `image/png`.")
    bytes: int = Field(description="Its size.")
    width: int | None = Field(description="Pixels.")
    height: int | None = Field(description="Pixels.")
    duration: float | None = Field(description="Seconds; null for images.")

    @classmethod
    def all_of(cls, job: Job) -> list[Self]:
        return [
            cls(
                name=item.name,
                url=media_url(job, item.name),
                content_type=item.content_type,
                bytes=item.bytes,
                width=item.width,
                height=item.height,
                duration=item.duration_seconds,
            )
            for item in media_of(job)
        ]


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
    cancel: str | None = Field(description="POST here to cancel it; null once it is over.")
    retry: str | None = Field(description="POST here to start it over, if it ended without a result.")


class JobShape(Shape):
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
        description="In about how many seconds it starts, at the pace of the last five minutes; null as `position` is.",
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
    def of(cls, job: Job, forecast: Forecast = NOTHING) -> Self:
        return cls(
            job_id=job.id,
            type=job.kind,
            user_id=job.user_id,
            status=job.status,
            progress=ProgressShape(percent=job.progress.percent, stage=job.progress.stage),
            priority="high" if job.priority == "high" else "normal",
            position=forecast.position,
            starts_in=forecast.starts_in_seconds,
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
            links=_links(job),
        )


class JobPage(Shape):
    """A page of jobs, the newest first."""

    jobs: list[JobShape]
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class JobResult(Shape):
    """What a completed job made."""

    job_id: str = Field(description="The job's id.")
    type: str = Field(description="The kind of job.")
    article: ArticleText | None = Field(description="The article, if it made one.")
    media: list[MediaFile] = Field(description="The images and videos, if it made some.")

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(job_id=job.id, type=job.kind, article=ArticleText.of(job), media=MediaFile.all_of(job))


class ResumeShape(Shape):
    """A resume."""

    resume_id: str = Field(description="Its id, which its user has chosen.")
    template: str | None = Field(description="How it is set; null for the server's own choice.")
    data: dict[str, Any] = Field(description="What stands in it.")
    version: int = Field(description="How many changes were applied to it.")
    created_at: datetime = Field(description="When it was created.")
    updated_at: datetime = Field(description="When its last change was applied.")

    @classmethod
    def of(cls, resume: Resume) -> Self:
        return cls(
            resume_id=resume.id,
            template=resume.template,
            data=dict(resume.data),
            version=resume.version,
            created_at=resume.created_at,
            updated_at=resume.updated_at,
        )


def answer(shape: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The shape as JSON."""
    return Response(shape.model_dump_json(by_alias=True), status, headers, mimetype="application/json")


def accepted(shape: BaseModel, location: str) -> Response:
    """202, and where to follow what was accepted."""
    return answer(shape, 202, {"Location": location})


def job_path(job_id: str) -> str:
    """The path of a job."""
    return url_for("jobs.show", job_id=job_id)


def media_url(job: Job, name: str) -> str:
    """The whole address of a job's file; it stays the same as long as the file is kept."""
    return base_url() + url_for("results.media", job_id=job.id, name=name)


def base_url() -> str:
    """Where the client reaches us, without a slash at its end."""
    return settings().public_url or request.host_url.rstrip("/")


def _links(job: Job) -> Links:
    address = base_url() + job_path(job.id)
    return Links(
        self_=address,
        events=f"{address}/events",
        result=f"{address}/result" if job.status is Status.COMPLETED else None,
        media=[media_url(job, name) for name in media_names(job)],
        cancel=f"{address}/cancel" if job.status in TRANSITIONS["request_cancel"].sources else None,
        retry=f"{address}/retry" if job.status in TRANSITIONS["requeue"].sources else None,
    )
