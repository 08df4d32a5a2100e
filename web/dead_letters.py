"""Failed jobs and dead letters of a queue: seen by their error, sent back, dropped."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, Self

import structlog
from flask import Blueprint, Response
from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from jobs import redrive as redriving
from jobs.failures import REMEDY, Group, Selection
from jobs.redrive import Decide, Deed, Outcome, Round
from jobs.roles import Role
from providers.requests import Payload
from web.body import read, read_query, refused
from web.examples import CREATED, FINISHED, JOB_ID
from web.faults import shown
from web.identity import current_user, require
from web.operations import Operation, Reply, describe
from web.problems import Fault
from web.queues import kind_of
from web.render import Shape, answer

MOST_SECONDS = 20.0
"""Of one request; where there is more to do, the answer says so."""
MOST_GROUPS_A_PAGE = 100
IDS_OF_A_GROUP = 20
LONGEST_AGO_SECONDS = 400 * 86_400

log = structlog.get_logger("web")

blueprint = Blueprint("dead_letters", __name__)


Code = Annotated[str, StringConstraints(max_length=64)]


class Filter(Payload):
    """Which failed jobs and dead letters are meant. What is left out is no condition."""

    error: Annotated[list[Code], Field(min_length=1, max_length=50)] | None = Field(
        default=None, description="Only with one of these error codes, as the groups name them."
    )
    message: Annotated[str, StringConstraints(max_length=1_000)] | None = Field(
        default=None, description="Only the group with this `message`."
    )
    older_than_seconds: float | None = Field(
        default=None, ge=0, le=LONGEST_AGO_SECONDS, description="Only what failed at least so long ago."
    )
    newer_than_seconds: float | None = Field(
        default=None, ge=0, le=LONGEST_AGO_SECONDS, description="Only what failed at most so long ago."
    )
    job_id: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        default=None, description="Only this job."
    )

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        older, newer = self.older_than_seconds, self.newer_than_seconds
        if older is not None and newer is not None and older > newer:
            raise PydanticCustomError(
                "not_together", "nothing is both", {"field": "olderThanSeconds", "other": "a smaller newerThanSeconds"}
            )
        return self

    def selection(self, kind: str) -> Selection:
        """The same, of one kind."""
        return Selection(
            kinds=(kind,),
            codes=tuple(self.error or ()),
            message=self.message,
            older_than=_seconds(self.older_than_seconds),
            newer_than=_seconds(self.newer_than_seconds),
            job_id=self.job_id,
        )


class ActOrder(Payload):
    """What is meant, and whether it is only to be looked at."""

    filter: Filter = Field(description="Which are meant; `{}`: all of this queue.")
    dry_run: bool = Field(default=False, description="Only say what would happen.")


class RedriveOrder(ActOrder):
    """What is sent back."""

    malformed: bool = Field(
        default=False, description="Put back, as they were, messages that nobody could read, and unknown jobs'."
    )


class GroupShape(Shape):
    """Failed jobs and dead letters that have the same error."""

    error: str = Field(description="The error's code.")
    message: str = Field(description="What happened, without what varies from job to job.")
    remedy: str = Field(description="What to do about it.")
    jobs: int = Field(description="How many failed jobs.")
    letters: int = Field(description="How many messages in the dead-letter queue.")
    job_ids: list[str] = Field(description=f"The failed jobs, {IDS_OF_A_GROUP} at the most.")
    oldest: datetime | None = Field(description="When the first of them failed.")
    newest: datetime | None = Field(description="When the last of them failed.")

    @classmethod
    def of(cls, group: Group) -> Self:
        return cls(**_told(group))


class DoneShape(GroupShape):
    """What becomes of a group."""

    does: str = Field(
        description=f"One of `{Deed.START_OVER}`, `{Deed.DROP}`, `{Deed.PUT_BACK}`, `{Deed.STAY}`.",
        json_schema_extra={"enum": [deed.value for deed in Deed]},
    )

    @classmethod
    def of_deed(cls, deed: Deed, group: Group) -> Self:
        return cls(**_told(group), does=deed.value)


class GroupsPage(Shape):
    """A page of groups, the largest first."""

    groups: list[GroupShape]
    next: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")
    busy: int = Field(description="Letters that somebody else looked at just then; nothing is known of them.")
    missing: list[str] = Field(description="Dead-letter queues that don't exist.")
    more: bool = Field(description=f"Whether {MOST_SECONDS:.0f} seconds were not enough to see all.")


class ActedShape(Shape):
    """What was done, or would be."""

    dry_run: bool = Field(description="Whether nothing was done.")
    started_over: int = Field(description="Jobs that wait again, with new attempts.")
    dropped_jobs: int = Field(description="Failed jobs that are not shown with the dead letters any more.")
    dropped_letters: int = Field(
        description="Messages deleted from the dead-letter queue, besides those of jobs that start over."
    )
    put_back: int = Field(description="Messages put back as they were.")
    groups: list[DoneShape] = Field(description="The same by error.")
    busy: int = Field(description="Letters that somebody else looked at just then; nothing was done about them.")
    missing: list[str] = Field(description="Dead-letter queues that don't exist.")
    more: bool = Field(description=f"Whether {MOST_SECONDS:.0f} seconds were not enough: the same again goes on with the rest.")

    @classmethod
    def of(cls, outcome: Outcome, *, dry_run: bool) -> Self:
        dropped_jobs, dropped_letters = outcome.count(Deed.DROP)
        return cls(
            dry_run=dry_run,
            started_over=outcome.count(Deed.START_OVER)[0],
            dropped_jobs=dropped_jobs,
            dropped_letters=dropped_letters,
            put_back=outcome.count(Deed.PUT_BACK)[1],
            groups=[DoneShape.of_deed(deed, group) for deed, group in outcome.by_deed()],
            busy=outcome.busy,
            missing=outcome.missing,
            more=outcome.is_partial,
        )


class GroupsQuery(Shape):
    """Which page."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(default=None, max_length=20, description="`next` of the page before.")
    limit: int = Field(default=20, ge=1, le=MOST_GROUPS_A_PAGE, description="How many groups.")


EXAMPLE = GroupShape(
    error="provider_refused",
    message="The AI provider refuses this prompt.",
    remedy=REMEDY,
    jobs=1,
    letters=1,
    job_ids=[JOB_ID],
    oldest=CREATED,
    newest=FINISHED,
)
ACTED = ActedShape(
    dry_run=True,
    started_over=1,
    dropped_jobs=0,
    dropped_letters=0,
    put_back=0,
    groups=[DoneShape(**EXAMPLE.model_dump(), does=Deed.START_OVER.value)],
    busy=0,
    missing=[],
    more=False,
)
EXAMPLES = {
    "What would happen": {"filter": {"error": ["provider_refused"]}, "dryRun": True},
    "What failed in the last hour": {"filter": {"newerThanSeconds": 3600}},
}


@blueprint.get("/api/queues/<queue>/dead-letters")
@describe(
    Operation(
        section="Queues",
        summary="See what failed",
        detail="Failed jobs and dead letters of the kind, grouped by error, each group with what to do about it. A job "
        "that failed is shown until it is dropped or started over, whether it has a letter or not. A letter that came within "
        "the last minute may be missing, as SQS counts no better. Takes the role operator or viewer.",
        query=GroupsQuery,
        replies={
            200: Reply(
                what="A page of groups.",
                shape=GroupsPage,
                example=GroupsPage(groups=[EXAMPLE], next=None, busy=0, missing=[], more=False),
            )
        },
    )
)
@require(Role.VIEWER)
def index(queue: str) -> Response:
    kind, query = kind_of(queue), read_query(GroupsQuery)
    start = _start(query.cursor)
    outcome = Round(Selection(kinds=(kind.name,)), redriving.look, most_seconds=MOST_SECONDS).run()
    groups = [GroupShape.of(group) for _, group in outcome.by_deed()]
    end = start + query.limit
    return answer(
        GroupsPage(
            groups=groups[start:end],
            next=str(end) if end < len(groups) else None,
            busy=outcome.busy,
            missing=outcome.missing,
            more=outcome.is_partial,
        )
    )


@blueprint.post("/api/queues/<queue>/redrive")
@describe(
    Operation(
        section="Queues",
        summary="Send back what failed",
        detail="Failed jobs start over, with new attempts, and their letters are deleted. Letters whose job is completed, "
        "cancelled or on its way again are dropped, not run again. Doing it again does no harm. Takes the role operator.",
        body=RedriveOrder,
        examples=EXAMPLES,
        replies={200: Reply(what="What was done, or would be.", shape=ActedShape, example=ACTED)},
    )
)
@require(Role.OPERATOR)
def redrive(queue: str) -> Response:
    kind, order = kind_of(queue).name, read(RedriveOrder)
    return _act("redrive", kind, order, redriving.redrive(malformed=order.malformed))


@blueprint.post("/api/queues/<queue>/drop")
@describe(
    Operation(
        section="Queues",
        summary="Drop what failed",
        detail="Deletes dead letters for good. A failed job stays failed, and is shown with them no more; its user can still "
        "start it over. Takes the role operator.",
        body=ActOrder,
        examples=EXAMPLES,
        replies={200: Reply(what="What was done, or would be.", shape=ActedShape, example=ACTED)},
    )
)
@require(Role.OPERATOR)
def drop(queue: str) -> Response:
    kind = kind_of(queue).name
    return _act("drop", kind, read(ActOrder), redriving.drop)


def _act(verb: str, kind: str, order: ActOrder, decide: Decide) -> Response:
    operator = None if order.dry_run else current_user().id
    outcome = Round(order.filter.selection(kind), decide, operator=operator, most_seconds=MOST_SECONDS).run()
    told = ActedShape.of(outcome, dry_run=order.dry_run)
    if operator is not None:
        asked = order.filter.model_dump(mode="json", by_alias=True, exclude_none=True)
        done = told.model_dump(include={"started_over", "dropped_jobs", "dropped_letters", "put_back"})
        log.info("dead letters acted upon by an operator", by=operator, verb=verb, kind=kind, filter=asked, **done)
    return answer(told)


def _told(group: Group) -> dict[str, object]:
    return {
        "error": group.code,
        "message": group.message,
        "remedy": group.remedy,
        "jobs": len(group.jobs),
        "letters": group.letters,
        "job_ids": sorted(islice(group.jobs, IDS_OF_A_GROUP)),
        "oldest": group.oldest,
        "newest": group.newest,
    }


def _start(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdecimal()):
        message = f"cursor is {shown(cursor)}: send `next` of the page before, or leave it out."
        raise refused([Fault(field="cursor", message=message)])
    return int(cursor)


def _seconds(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
