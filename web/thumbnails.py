"""Small pictures of what jobs have made."""

from __future__ import annotations

from flask import Blueprint
from pydantic import ConfigDict, Field
from werkzeug.wrappers import Response

from jobs.media import MediaItem, thumbnails_of
from web.asked import asked_job
from web.body import read_query
from web.files import sent
from web.operations import Operation, Reply, describe
from web.problems import not_found
from web.render import Shape

blueprint = Blueprint("thumbnails", __name__)


class ThumbnailQuery(Shape):
    """Which of them."""

    model_config = ConfigDict(extra="ignore")

    size: int = Field(default=320, ge=1, le=4096, description="How large it should be at least, on its longer side in pixels.")


@blueprint.get("/api/jobs/<job_id>/thumbnail")
@describe(
    Operation(
        section="Jobs",
        summary="Fetch a small picture of what a job has made",
        detail="The smallest that is large enough, else the largest. 404 until it is made, a moment after the job's end. "
        "Where files lie in S3, the answer is a redirect to a link that holds for a while.",
        query=ThumbnailQuery,
        problems=(404,),
        replies={
            200: Reply(what="The picture.", other_types=("image/*",)),
            302: Reply(what="It is at the address in `Location`.", headers={"Location": "Its address."}),
        },
    )
)
def show(job_id: str) -> Response:
    wanted = read_query(ThumbnailQuery).size
    made = sorted(thumbnails_of(asked_job(job_id)), key=_side)
    if not made:
        raise not_found("thumbnail of this job yet")
    return sent(next((item for item in made if _side(item) >= wanted), made[-1]))


def _side(item: MediaItem) -> int:
    return max(item.width or 0, item.height or 0)
