"""Thumbnails: an image, a frame of a video, or the first page of a PDF, in several small sizes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, BinaryIO, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.errors import InvalidPayload
from jobs.files import files
from jobs.life import Status
from jobs.media import media_of
from jobs.public_addresses import PublicUrl
from jobs.store import store
from providers.base import Generated
from providers.requests import Payload, needed
from tasks.kinds import job
from tasks.media.fetching import fetch, workspace_of
from tasks.patience import patiently
from tasks.results import Media
from tasks.run import Run

SHOWN = ("image/", "video/", "application/pdf")
"""How the types begin of what thumbnails are made of."""

Side = Annotated[int, Field(ge=16, le=1024)]


class NothingToShow(InvalidPayload):
    """This job has made no image, no video and no PDF. Name one that has."""


class ThumbnailRequest(Payload):
    """Thumbnails of what a job has made, `jobId`, or of what is at an address, `mediaUrl`. One of the two must be given."""

    trial = {"jobId": "send-test"}

    job_id: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="A completed job of yours that has made an image, a video or a PDF."
    )
    media_url: PublicUrl | None = Field(
        default=None, description="An address on the public internet that leads to an image, a video or a PDF."
    )
    sizes: list[Side] = Field(
        default=[160, 320, 640],
        min_length=1,
        max_length=8,
        description="The longer sides in pixels, 16 to 1024. What is smaller itself stays as small as it is.",
    )
    format: Literal["jpeg", "webp", "png"] = Field(default="jpeg", description="How they are stored.")

    @model_validator(mode="after")
    def _is_of_one_thing(self) -> ThumbnailRequest:
        if self.job_id is None and self.media_url is None:
            raise needed("jobId", "thumbnails are made of what a job has made, or of a mediaUrl")
        if self.job_id is not None and self.media_url is not None:
            words = "{field} can't be sent with {other}: leave one of them out"
            raise PydanticCustomError("not_together", words, {"field": "mediaUrl", "other": "jobId"})
        return self


@job("thumbnails", payload=ThumbnailRequest)
def make_thumbnails(run: Run, request: ThumbnailRequest) -> Media:
    from tasks.media import stills  # the web process loads this module, too, and does without what it needs

    with _source(run, request) as file:
        image = stills.still(file)
    made = []
    for number, side in enumerate(dict.fromkeys(request.sizes)):
        run.progress(60 + 40 * number / len(request.sizes), "Making thumbnails")
        made.append(stills.thumbnail(image, side, request.format))
    return Media(Generated(files=made))


@contextmanager
def _source(run: Run, request: ThumbnailRequest) -> Iterator[BinaryIO]:
    """The file that the thumbnails are made of."""
    if request.media_url is None:
        with _file_of(run, str(request.job_id)) as file:
            yield file
        return
    space = workspace_of(run)
    try:
        fetch(run, request.media_url, space, most_percent=60)
        with space.source.open("rb") as file:
            yield file
    except InvalidPayload:
        space.remove()
        raise
    except BaseException:
        space.leave()
        raise
    space.remove()


def _file_of(run: Run, job_id: str) -> BinaryIO:
    """The first image, video or PDF that a job of the same user has made."""
    found = patiently(partial(store().get, job_id, run.job.user_id))
    if found is None:
        raise NothingToShow(f"You have no job {job_id}. Name one that is there.")
    if found.status is not Status.COMPLETED:
        raise NothingToShow(f"The job {job_id} is {found.status}. Thumbnails can be made once it is completed.")
    items = patiently(partial(media_of, found))
    item = next((each for each in items if each.content_type.startswith(SHOWN)), None)
    if item is None:
        raise NothingToShow(f"The job {job_id} has made no image, no video and no PDF. Name one that has.")
    file = patiently(partial(files().open, item.key))
    if file is None:
        raise NothingToShow(f"What the job {job_id} has made is not kept any more.")
    return file
