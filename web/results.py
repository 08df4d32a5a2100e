"""What jobs have made: articles as JSON or Markdown, images and videos as files."""

from __future__ import annotations

from flask import Blueprint, Response, request
from werkzeug.wrappers import Response as AnyResponse

from jobs.document import Job
from jobs.life import Status
from jobs.media import media_of
from web.asked import asked_job
from web.examples import RESULT
from web.files import sent
from web.operations import Operation, Reply, describe
from web.problems import Problem, not_found
from web.render import JobResult, answer

MARKDOWN = "text/markdown"

blueprint = Blueprint("results", __name__)


@blueprint.get("/api/jobs/<job_id>/result")
@describe(
    Operation(
        section="Jobs",
        summary="Fetch a job's result",
        detail="An article comes as Markdown if you ask for it with `Accept: text/markdown`. "
        "409 as long as the job is not completed; `detail` says what state it is in.",
        problems=(409,),
        replies={200: Reply(what="What the job made.", shape=JobResult, example=RESULT, other_types=(MARKDOWN,))},
    )
)
def result(job_id: str) -> Response:
    job = asked_job(job_id)
    if job.status is not Status.COMPLETED:
        raise Problem(409, _why_no_result(job))
    made = JobResult.of(job)
    if made.article and request.accept_mimetypes.best_match(["application/json", MARKDOWN]) == MARKDOWN:
        return Response(made.article.content, mimetype=MARKDOWN, headers={"Vary": "Accept"})
    return answer(made, headers={"Vary": "Accept"})


@blueprint.get("/api/jobs/<job_id>/media/<name>")
@describe(
    Operation(
        section="Jobs",
        summary="Fetch a file",
        detail="An image or a video that the job made, whole or in ranges (`Range: bytes=0-1023`). "
        "Where files lie in S3, the answer is a redirect to a link that holds for a while.",
        problems=(416,),
        replies={
            200: Reply(what="The file.", other_types=("image/*", "video/*")),
            206: Reply(what="The range that was asked for.", other_types=("image/*", "video/*")),
            302: Reply(what="The file is at the address in `Location`.", headers={"Location": "The file's address."}),
        },
    )
)
def media(job_id: str, name: str) -> AnyResponse:
    job = asked_job(job_id)
    item = next((item for item in media_of(job) if item.name == name), None)
    if item is None:
        raise not_found("such file of this job")
    return sent(item)


def _why_no_result(job: Job) -> str:
    if not job.status.is_final:
        return f"The job is {job.status}; its result is there once it is completed."
    reason = f" {job.error['message']}" if job.error else ""
    return f"The job is {job.status}; it has no result.{reason}"
