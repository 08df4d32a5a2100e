"""Videos: filmed by an AI provider from a prompt, or fetched from an address and transcoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.document import Job
from jobs.errors import Cancelled, Permanent
from jobs.mail import MailAddress
from jobs.public_addresses import PublicUrl
from providers.base import Generated, MediaFile, Usage
from providers.requests import Payload, Prompt, Size, VideoRequest, needed
from settings import settings
from tasks.kinds import job
from tasks.media.fetching import fetch, workspace_of
from tasks.media.transcoding import Measures, transcode
from tasks.media.workspace import Workspace
from tasks.results import Media
from tasks.run import Run

FETCHED_PERCENT = 30
"""Of the whole job's progress, when the file is here."""


class AnyVideo(Payload):
    """A video: made from `prompt`, or the one at `videoUrl`, transcoded to MP4. One of the two must be given."""

    trial = VideoRequest.trial

    prompt: Prompt | None = Field(
        default=None, description="What the video shows.", examples=["Waves rolling onto a quiet beach"]
    )
    video_url: PublicUrl | None = Field(
        default=None,
        description="An address on the public internet that leads to a video's file, to be fetched and transcoded.",
    )
    duration: int = Field(default=5, ge=1, le=60, description="Seconds of a video made from a prompt.")
    size: Size = Field(default="1280x720", description="Width and height in pixels of a video made from a prompt.")
    quality: Literal["360p", "480p", "720p", "1080p"] = Field(
        default="720p", description="The shorter side of a fetched video in pixels. A smaller one stays as small as it is."
    )
    user_email: MailAddress | None = Field(default=None, description="Who gets a mail when the video is there.")

    @model_validator(mode="after")
    def _is_of_one_sort(self) -> AnyVideo:
        if self.prompt is None and self.video_url is None:
            raise needed("prompt", "a video is made from a prompt, or fetched from a videoUrl")
        if self.prompt is not None and self.video_url is not None:
            words = "{field} can't be sent with {other}: leave one of them out"
            raise PydanticCustomError("not_together", words, {"field": "videoUrl", "other": "prompt"})
        return self

    @cached_property
    def filmed(self) -> VideoRequest:
        """What a provider is asked for."""
        assert self.prompt is not None
        return VideoRequest(prompt=self.prompt, duration=self.duration, size=self.size)


@dataclass(frozen=True)
class Transcoded:
    """A transcoded video. What it was made from stays on the disk until it is stored: a worker may die."""

    measures: Measures
    space: Workspace
    usage: Usage = field(default_factory=Usage)

    def keep(self, job: Job) -> Mapping[str, Any]:
        try:
            kept = Media(Generated(files=[self._file()])).keep(job)
        except BaseException:
            self.space.leave()
            raise
        self.space.remove()
        return kept

    def _file(self) -> MediaFile:
        return MediaFile(
            name="video.mp4",
            content_type="video/mp4",
            file=self.space.made.open("rb"),
            width=self.measures.width,
            height=self.measures.height,
            duration_seconds=self.measures.seconds,
        )


@job("videos", payload=AnyVideo)
def make_video(run: Run, request: AnyVideo) -> Media | Transcoded:
    if request.video_url is None:
        return Media(run.provider.film(request.filmed, run))
    return transcoded(run, request.video_url, int(request.quality.removesuffix("p")))


def transcoded(run: Run, url: str, quality: int) -> Transcoded:
    """The video at `url`, in that quality."""
    space = workspace_of(run)
    try:
        fetch(run, url, space, most_percent=FETCHED_PERCENT)
        most_bytes = settings().video_most_bytes
        measures = transcode(
            run, space.source, space.made, quality=quality, most_bytes=most_bytes, from_percent=FETCHED_PERCENT
        )
    except (Permanent, Cancelled):
        space.remove()
        raise
    except BaseException:
        space.leave()
        raise
    return Transcoded(measures, space)
