"""Jobs as the API shows them. The OpenAPI document is made from these shapes, so they say what each field is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from flask import Response, request
from pydantic import BaseModel, Field

from jobs.content import article
from jobs.document import Job
from jobs.forecast import NOTHING, Forecast
from jobs.media import media_of
from jobs.public import JobError as JobError
from jobs.public import Links as Links
from jobs.public import ProgressShape as ProgressShape
from jobs.public import PublicJob, media_path
from jobs.public import Shape as Shape
from jobs.public import ShortError as ShortError
from jobs.public import Usage as Usage
from jobs.public import WaitingFor as WaitingFor
from jobs.public import job_path as job_path
from jobs.resumes import Resume
from settings import settings


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


class JobShape(PublicJob):
    """A job."""

    @classmethod
    def of(cls, job: Job, forecast: Forecast = NOTHING, *, base: str | None = None) -> Self:
        """`base` for whoever shows many jobs in an answer; else it is `base_url()`."""
        return cls.seen_from(base or base_url(), job, position=forecast.position, starts_in=forecast.starts_in_seconds)


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


def accepted(shape: BaseModel, location: str, headers: Mapping[str, str] | None = None) -> Response:
    """202, and where to follow what was accepted."""
    return answer(shape, 202, {"Location": location, **(headers or {})})


def media_url(job: Job, name: str) -> str:
    """The whole address of a job's file; it stays the same as long as the file is kept."""
    return base_url() + media_path(job.id, name)


def base_url() -> str:
    """Where the client reaches us, without a slash at its end."""
    return settings().public_url or f"{request.scheme}://{request.host}"
