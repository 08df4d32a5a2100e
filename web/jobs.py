"""Jobs of every kind: submitting, listing, following, cancelling, starting over."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, Response
from pydantic import ConfigDict, Field

from jobs.cursor import BadCursor
from jobs.forecast import forecasts
from jobs.life import Status
from jobs.listing import NothingToFind, Selection, page
from queues.catalogue import KINDS
from web import acting
from web.asked import asked_job
from web.body import read, read_query, refused
from web.examples import CANCELLED_JOB, COMPLETED_JOB, PAGE, QUEUED_JOB
from web.faults import shown
from web.idempotency import once
from web.identity import current_user, whose
from web.live import wait_for_end
from web.operations import Operation, Reply, describe
from web.ordering import JOB_ORDER, accept, one_of
from web.problems import Fault
from web.render import JobPage, JobShape, Shape, accepted, answer, job_path
from web.requestlog import about

MOST_JOBS_A_PAGE = 100
MOST_WAIT_SECONDS = 20

blueprint = Blueprint("jobs", __name__)

KindName = Annotated[str, one_of([*KINDS]), Field(json_schema_extra={"enum": [*KINDS]})]


class JobsQuery(Shape):
    """Which jobs."""

    model_config = ConfigDict(extra="forbid")

    type: KindName | None = Field(default=None, description="Only jobs of this kind.")
    status: Status | None = Field(default=None, description="Only jobs in this state.")
    q: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Only jobs with words in their title, topic or prompt that begin like these, or whose id begins like this.",
    )
    user: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Only this user's jobs; another's take the role operator or viewer.",
    )
    cursor: str | None = Field(default=None, max_length=500, description="`next` of the page before.")
    limit: int = Field(default=20, ge=1, le=MOST_JOBS_A_PAGE, description="How many jobs.")


class CreateQuery(Shape):
    """Whether to wait."""

    model_config = ConfigDict(extra="forbid")

    wait: float = Field(
        default=0,
        ge=0,
        le=MOST_WAIT_SECONDS,
        allow_inf_nan=False,
        description="Wait up to so many seconds for the job's end, and answer 200 with the finished job. (With too many such "
        "waits and streams of events open, the answer is the 202 at once.)",
    )


@blueprint.post("/api/jobs")
@describe(
    Operation(
        section="Jobs",
        summary="Submit a job",
        detail="One call for every kind; `GET /api/kinds` says which there are and what their payloads are.",
        body=JOB_ORDER,
        query=CreateQuery,
        takes_key=True,
        problems=(429,),
        examples={
            "An article": {"type": "articles", "payload": {"topic": "Growing tomatoes", "wordCount": 400}},
            "An image": {"type": "images", "payload": {"prompt": "A lighthouse at dawn"}, "priority": "high"},
            "A video": {"type": "videos", "payload": {"prompt": "Waves on a beach", "duration": 3}},
            "A resume": {
                "type": "resumes",
                "payload": {"action": "CREATE", "resumeId": "cv-2026", "data": {"basics": {"name": "Ada Lovelace"}}},
            },
            "A resume as a PDF": {
                "type": "documents",
                "payload": {"resume": {"basics": {"name": "Ada Lovelace", "label": "Analyst"}}, "template": "modern"},
            },
            "Later, and tell me": {
                "type": "articles",
                "payload": {"topic": "What to sow in March"},
                "runAt": "2026-03-01T06:00:00+01:00",
                "expiresIn": 86_400,
                "callbackUrl": "https://example.com/hooks/pressroom",
                "metadata": {"campaign": "spring"},
            },
        },
        replies={
            202: Reply(what="The job, accepted.", shape=JobShape, example=QUEUED_JOB),
            200: Reply(what="The job, which came to its end while you waited.", shape=JobShape, example=COMPLETED_JOB),
        },
    )
)
def create() -> Response:
    seconds = read_query(CreateQuery).wait
    said = read(JOB_ORDER)
    job, replayed = once(said, said.order(current_user().id), accept)
    about(job.id)
    headers = {"Location": job_path(job.id), **replayed}
    if seconds and (ended := wait_for_end(job.id, seconds, by=current_user().counted_as)):
        return answer(JobShape.of(ended), 200, headers)
    return answer(JobShape.of(job, forecasts().of_new(job)), 202, headers)


@blueprint.get("/api/jobs")
@describe(
    Operation(
        section="Jobs",
        summary="List jobs",
        detail="The newest first: yours, and with the role operator or viewer everybody's. `next` is the `cursor` of the next "
        "page. Jobs that follow from others by themselves (webhooks, mails, counting) are listed where `type` names them.",
        query=JobsQuery,
        examples={
            "": {"type": "articles", "status": "completed", "limit": 5},
            "By its words": {"q": "tomat"},
        },
        replies={200: Reply(what="A page of jobs.", shape=JobPage, example=PAGE)},
    )
)
def index() -> Response:
    query = read_query(JobsQuery)
    selection = Selection(user_id=whose(query.user), kind=query.type, status=query.status, text=query.q)
    try:
        jobs, following = page(selection, cursor=query.cursor, limit=query.limit)
    except BadCursor as error:
        raise refused([Fault(field="cursor", message=f"cursor can't be read: {error}")]) from None
    except NothingToFind as error:
        raise refused([Fault(field="q", message=f"q is {shown(query.q)}: {error}")]) from None
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
    job = asked_job(job_id)
    return answer(JobShape.of(job, forecasts().of(job)))


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
    asked = acting.cancel(asked_job(job_id))
    return accepted(JobShape.of(asked), job_path(asked.id))


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
    waiting = acting.start_over(asked_job(job_id))
    return accepted(JobShape.of(waiting, forecasts().of(waiting)), job_path(waiting.id))
