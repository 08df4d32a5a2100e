"""Many jobs in one request: each entry is accepted or refused by itself."""

from __future__ import annotations

from typing import Self

from flask import Blueprint, Response
from pydantic import Field

from jobs.document import Job
from jobs.draining import QueueDraining
from jobs.idempotency import Taken
from jobs.quota import room_for
from jobs.submit import submit_many
from web.body import ListOf, read_list
from web.examples import QUEUED_JOB
from web.idempotency import accepted_before, as_replay, entry_of, take_key
from web.identity import User, current_user
from web.operations import Operation, Reply, describe
from web.ordering import JOB_ORDER, JobOrder, no_room, refuse_kind
from web.problems import Fault, Problem, ProblemDocument, draining
from web.render import JobShape, Shape, answer, base_url

MOST_JOBS = 1_000
JOB_BATCH = ListOf("JobBatch", "jobs", JOB_ORDER, MOST_JOBS)

blueprint = Blueprint("batch", __name__)


class RefusedEntry(Shape):
    """An entry that was not accepted."""

    error: ProblemDocument = Field(description="Why.")


class BatchShape(Shape):
    """What became of each entry, in their order."""

    jobs: list[JobShape | RefusedEntry] = Field(description="The job, or under `error` why there is none.")

    @classmethod
    def of(cls, outcomes: list[Job | Problem]) -> Self:
        base = base_url()
        return cls(
            jobs=[
                JobShape.of(each, base=base) if isinstance(each, Job) else RefusedEntry(error=each.document())
                for each in outcomes
            ]
        )


EXAMPLE = BatchShape(
    jobs=[
        QUEUED_JOB,
        RefusedEntry(
            error=ProblemDocument(
                title="Unprocessable Entity",
                status=422,
                detail="Not accepted. At fault: jobs[1].payload.topic.",
                errors=[
                    Fault(field="jobs[1].payload.topic", message="jobs[1].payload.topic is missing: mode 'topic' needs it.")
                ],
            )
        ),
    ]
)


@blueprint.post("/api/jobs/batch")
@describe(
    Operation(
        section="Jobs",
        summary="Submit many jobs",
        detail=f"Up to {MOST_JOBS:,} jobs of any kinds, each as in `POST /api/jobs`. What is wrong with one keeps no other "
        "back: the answer has an entry for each, in their order, that is the job or says why there is none.",
        body=JOB_BATCH,
        takes_key=True,
        examples={
            "Two articles": {
                "jobs": [
                    {"type": "articles", "payload": {"topic": "Growing tomatoes"}},
                    {"type": "articles", "payload": {"topic": "Growing basil"}, "priority": "high"},
                ]
            }
        },
        replies={202: Reply(what="What became of each.", shape=BatchShape, example=EXAMPLE)},
    )
)
def create() -> Response:
    entries, sent = read_list(JOB_BATCH)
    taken = take_key({"jobs": sent})
    known = accepted_before(taken, len(entries))
    outcomes = _submitted(entries, taken, known)
    return answer(BatchShape.of(outcomes), 202, as_replay(bool(known)))


def _submitted(entries: list[JobOrder | Problem], taken: Taken | None, known: dict[int, Job]) -> list[Job | Problem]:
    user = current_user()
    refusals = {kind: _refusal(kind, user) for kind in {entry.type for entry in entries if isinstance(entry, JobOrder)}}
    outcomes: list[JobOrder | Job | Problem] = [
        known[place] if place in known else entry if isinstance(entry, Problem) else refusals[entry.type] or entry
        for place, entry in enumerate(entries)
    ]
    outcomes = _within_room(outcomes, user)
    places = [place for place, each in enumerate(outcomes) if isinstance(each, JobOrder)]
    orders = [entry_of(taken, place, each.order(user.id)) for place, each in enumerate(outcomes) if isinstance(each, JobOrder)]
    made = dict(zip(places, submit_many(orders), strict=True))
    return [made[place] if isinstance(each, JobOrder) else each for place, each in enumerate(outcomes)]


def _refusal(kind: str, user: User) -> Problem | None:
    """Why jobs of this kind can't be ordered; None: they can."""
    try:
        refuse_kind(kind, user)
    except QueueDraining as error:
        return draining(error)
    except Problem as problem:
        return problem
    return None


def _within_room(outcomes: list[JobOrder | Job | Problem], user: User) -> list[JobOrder | Job | Problem]:
    """The first orders that the user has room for; the others are refused."""
    room = room_for(user.id)
    kept: list[JobOrder | Job | Problem] = []
    for each in outcomes:
        is_order = isinstance(each, JobOrder)
        kept.append(no_room() if is_order and room <= 0 else each)
        room -= is_order
    return kept
