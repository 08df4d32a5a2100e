"""Jobs of every kind: submitting, listing, following, and what they made."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, Response, redirect, request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, create_model
from pydantic_core import PydanticCustomError
from werkzeug.wrappers import Response as AnyResponse

from jobs.cursor import BadCursor
from jobs.document import Job
from jobs.draining import drains
from jobs.files import files
from jobs.forecast import forecasts
from jobs.life import Status
from jobs.media import media_of
from jobs.retry import retry as start_over
from jobs.store import store
from jobs.submit import Order, Priority, submit
from providers.choice import PROVIDERS
from providers.requests import Payload
from queues.catalogue import KINDS
from tasks.kinds import payload_model
from web.body import OneOf, read, read_query, refused
from web.examples import CANCELLED_JOB, COMPLETED_JOB, PAGE, QUEUED_JOB, RESULT
from web.files import stream
from web.identity import current_user
from web.operations import Operation, Reply, describe
from web.problems import Fault, Problem, not_found
from web.render import JobPage, JobResult, JobShape, Shape, accepted, answer, job_path
from web.requestlog import about

MARKDOWN = "text/markdown"
MOST_JOBS_A_PAGE = 100
MOST_SECONDS_TO_START = 14 * 86_400
"""As long as the queues keep a message."""

blueprint = Blueprint("jobs", __name__)


def _one_of(names: list[str]) -> AfterValidator:
    """Refuses what is not among `names`, and names them."""

    def check(name: str) -> str:
        if name not in names:
            raise PydanticCustomError("enum", "unknown", {"expected": "one of " + ", ".join(names)})
        return name

    return AfterValidator(check)


Provider = Annotated[str, _one_of([*PROVIDERS]), Field(json_schema_extra={"enum": [*PROVIDERS]})]
KindName = Annotated[str, _one_of([*KINDS]), Field(json_schema_extra={"enum": [*KINDS]})]
ModelId = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class JobOrder(Payload):
    """A job of any kind. Unknown fields are refused."""

    type: str
    payload: BaseModel
    priority: Priority = Field(default="normal", description="`high` starts before what waits as `normal`.")
    expires_in: float | None = Field(
        default=None, gt=0, le=MOST_SECONDS_TO_START, description="The job must start within so many seconds, or it expires."
    )
    provider: Provider | None = Field(default=None, description="The AI provider to ask. Left out: the server's own choice.")
    model_id: ModelId | None = Field(default=None, description="The model to ask for. Left out: the provider's own choice.")


def _order_of(kind: str) -> type[JobOrder]:
    purpose = KINDS[kind].purpose
    return create_model(
        f"{kind.capitalize()}Order",
        __base__=JobOrder,
        __doc__=f"{purpose[0].upper()}{purpose[1:]}. Unknown fields are refused.",
        type=(str, Field(description="The kind of job.", json_schema_extra={"const": kind})),
        payload=(payload_model(kind), Field(description="What the kind needs.")),
    )


JOB_ORDER = OneOf("JobOrder", {kind: _order_of(kind) for kind in KINDS})


class JobsQuery(Shape):
    """Which jobs."""

    model_config = ConfigDict(extra="forbid")

    type: KindName | None = Field(default=None, description="Only jobs of this kind.")
    status: Status | None = Field(default=None, description="Only jobs in this state.")
    cursor: str | None = Field(default=None, max_length=500, description="`next` of the page before.")
    limit: int = Field(default=20, ge=1, le=MOST_JOBS_A_PAGE, description="How many jobs.")


class NoQuery(Shape):
    """Nothing: what one would order this way does not act yet, so it is refused."""

    model_config = ConfigDict(extra="forbid")


@blueprint.post("/api/jobs")
@describe(
    Operation(
        section="Jobs",
        summary="Submit a job",
        detail="One call for every kind; `GET /api/kinds` says which there are and what their payloads are.",
        body=JOB_ORDER,
        examples={
            "An article": {"type": "articles", "payload": {"topic": "Growing tomatoes", "wordCount": 400}},
            "An image": {"type": "images", "payload": {"prompt": "A lighthouse at dawn"}, "priority": "high"},
            "A video": {"type": "videos", "payload": {"prompt": "Waves on a beach", "duration": 3}},
            "A resume": {
                "type": "resumes",
                "payload": {"action": "CREATE", "resumeId": "cv-2026", "data": {"basics": {"name": "Ada Lovelace"}}},
            },
        },
        replies={202: Reply(what="The job, accepted.", shape=JobShape, example=QUEUED_JOB)},
    )
)
def create() -> Response:
    read_query(NoQuery)
    _refuse_header("Idempotency-Key")
    order = read(JOB_ORDER)
    drains().refuse_order(order.type)
    payload = order.payload.model_dump(mode="json", by_alias=True)
    job = submit(
        Order(
            kind=order.type,
            payload=payload,
            user_id=current_user().id,
            priority=order.priority,
            expires_in_seconds=order.expires_in,
            provider=order.provider,
            model_id=order.model_id,
        )
    )
    about(job.id)
    return accepted(JobShape.of(job, forecasts().of(job)), job_path(job.id))


@blueprint.get("/api/jobs")
@describe(
    Operation(
        section="Jobs",
        summary="List jobs",
        detail="Yours, the newest first. `next` is the `cursor` of the next page.",
        query=JobsQuery,
        examples={"": {"type": "articles", "status": "completed", "limit": 5}},
        replies={200: Reply(what="A page of jobs.", shape=JobPage, example=PAGE)},
    )
)
def index() -> Response:
    query = read_query(JobsQuery)
    try:
        jobs, following = store().page(
            current_user().id, kind=query.type, status=query.status, cursor=query.cursor, limit=query.limit
        )
    except BadCursor as error:
        raise refused([Fault(field="cursor", message=f"cursor can't be read: {error}")]) from None
    return answer(JobPage(jobs=[JobShape.of(job) for job in jobs], next=following))


@blueprint.get("/api/jobs/<job_id>")
@describe(
    Operation(
        section="Jobs",
        summary="Follow a job",
        replies={200: Reply(what="The job as it is now.", shape=JobShape, example=COMPLETED_JOB)},
    )
)
def show(job_id: str) -> Response:
    job = _job(job_id)
    return answer(JobShape.of(job, forecasts().of(job)))


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
    job = _job(job_id)
    if job.status is not Status.COMPLETED:
        raise Problem(409, _why_no_result(job))
    made = JobResult.of(job)
    if made.article and request.accept_mimetypes.best_match(["application/json", MARKDOWN]) == MARKDOWN:
        return Response(made.article.content, mimetype=MARKDOWN, headers={"Vary": "Accept"})
    return answer(made, headers={"Vary": "Accept"})


@blueprint.post("/api/jobs/<job_id>/cancel")
@describe(
    Operation(
        section="Jobs",
        summary="Cancel a job",
        detail="A job that waits is cancelled at once. One that runs is told to stop, and is cancelled within seconds, "
        "unless it comes to its end first. 409 if it is over already; `detail` says how it ended.",
        problems=(409,),
        replies={202: Reply(what="The job; follow it to see it end.", shape=JobShape, example=CANCELLED_JOB)},
    )
)
def cancel(job_id: str) -> Response:
    job = _job(job_id)
    asked = store().request_cancel(job.id, job.user_id)
    if asked is None:
        raise _forbidden(job.id, "only a job that is not over can be cancelled")
    return accepted(JobShape.of(asked), job_path(job.id))


@blueprint.post("/api/jobs/<job_id>/retry")
@describe(
    Operation(
        section="Jobs",
        summary="Retry a job",
        detail="Starts a job over that is failed, expired or cancelled, with the same id and as many attempts as a new one. "
        "409 in any other state; `detail` names it.",
        problems=(409,),
        replies={202: Reply(what="The job, waiting again.", shape=JobShape, example=QUEUED_JOB)},
    )
)
def retry(job_id: str) -> Response:
    job = _job(job_id)
    drains().refuse_order(job.kind)
    waiting = start_over(job.id)
    if waiting is None:
        raise _forbidden(job.id, "only a job that is failed, expired or cancelled can be retried")
    return accepted(JobShape.of(waiting, forecasts().of(waiting)), job_path(job.id))


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
    job = _job(job_id)
    item = next((item for item in media_of(job) if item.name == name), None)
    if item is None:
        raise not_found("such file of this job")
    if url := files().url(item.key, name=item.name):
        return redirect(url)
    return stream(item)


def _refuse_header(name: str) -> None:
    """A header whose promise would not be kept is refused rather than ignored."""
    if name in request.headers:
        raise refused([Fault(field=name, message=f"The header {name} does not act yet: leave it out.")])


def _job(job_id: str) -> Job:
    """The user's job of that id; from here on the log lines name it."""
    about(job_id)
    job = store().get(job_id, current_user().id)
    if job is None:
        raise not_found("such job")
    return job


def _forbidden(job_id: str, rule: str) -> Problem:
    """A verb that the job's state forbids."""
    return Problem(409, f"The job is {_job(job_id).status}; {rule}.")


def _why_no_result(job: Job) -> str:
    if not job.status.is_final:
        return f"The job is {job.status}; its result is there once it is completed."
    reason = f" {job.error['message']}" if job.error else ""
    return f"The job is {job.status}; it has no result.{reason}"
