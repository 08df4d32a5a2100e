"""Images and videos, by the endpoints that the system's documents name."""

from __future__ import annotations

from typing import Literal

from flask import Blueprint, Response
from pydantic import ConfigDict, Field

from jobs.submit import Order
from providers.requests import ImageRequest
from tasks.videos import AnyVideo
from web.asked import asked_job
from web.body import OneOf, read, read_query
from web.brief import Accepted, MediaJob
from web.examples import ACCEPTED, IMAGE_JOB, JOB_ID
from web.idempotency import once
from web.identity import current_user
from web.operations import Operation, Reply, describe
from web.ordering import accept
from web.render import Shape, accepted, answer, job_path
from web.requestlog import about

blueprint = Blueprint("media", __name__)


class ImageOrder(ImageRequest):
    """An image to make. Fields that are not known are ignored."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["image"] = Field(description="What to make.")

    def order(self, user_id: str) -> Order:
        """The order of this image for a user."""
        payload = self.model_dump(mode="json", include=set(ImageRequest.model_fields))
        return Order(kind="images", payload=payload, user_id=user_id)


class VideoOrder(AnyVideo):
    """A video to make from a prompt, or to fetch and transcode. Fields that are not known are ignored."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["video"] = Field(description="What to make.")

    def order(self, user_id: str) -> Order:
        """The order of this video for a user."""
        payload = self.model_dump(mode="json", include=set(AnyVideo.model_fields))
        return Order(kind="videos", payload=payload, user_id=user_id)


class MediaQuery(Shape):
    """Which job."""

    model_config = ConfigDict(extra="ignore")

    job_id: str = Field(min_length=1, max_length=64, description="The id that the order was answered with.")


MEDIA_ORDER: OneOf[ImageOrder | VideoOrder] = OneOf("MediaOrder", {"image": ImageOrder, "video": VideoOrder})


@blueprint.post("/api/media/generate")
@describe(
    Operation(
        section="Images and videos",
        summary="Order an image or a video",
        detail="Answers at once. Ask `GET /api/media/generate?jobId=…` how it is.",
        body=MEDIA_ORDER,
        takes_key=True,
        examples={
            "An image": {"type": "image", "prompt": "A lighthouse at dawn", "size": "1024x1024", "style": "watercolour"},
            "A video": {"type": "video", "prompt": "Waves on a beach", "duration": 5, "size": "1280x720"},
            "A video to transcode": {
                "type": "video",
                "videoUrl": "https://example.org/film.mov",
                "quality": "480p",
                "userEmail": "ada@example.org",
            },
        },
        replies={202: Reply(what="Accepted.", shape=Accepted, example=ACCEPTED)},
    )
)
def generate() -> Response:
    said = read(MEDIA_ORDER)
    job, replayed = once(said, said.order(current_user().id), accept)
    about(job.id)
    return accepted(Accepted(job_id=job.id), job_path(job.id), replayed)


@blueprint.get("/api/media/generate")
@describe(
    Operation(
        section="Images and videos",
        summary="Follow an image or a video",
        detail="`media` holds the files once the job is completed.",
        query=MediaQuery,
        problems=(404,),
        examples={"": {"jobId": JOB_ID}},
        replies={200: Reply(what="The job as it is now, and its files.", shape=MediaJob, example=IMAGE_JOB)},
    )
)
def show() -> Response:
    return answer(MediaJob.of(asked_job(read_query(MediaQuery).job_id)))
