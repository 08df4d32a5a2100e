"""Analytics: what readers and viewers did, sent in batches, counted by the hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from flask import Blueprint, Response
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from jobs.analytics import Bucket, Count, EventName, analytics, is_timely
from jobs.draining import drains
from jobs.submit import Order, submit
from providers.requests import Payload
from tasks.analytics import A_TIME, MOST_EVENTS, Event, EventTime
from web.body import read, read_query, refused
from web.examples import JOB_ID
from web.idempotency import once
from web.identity import current_user, whose
from web.operations import Operation, Reply, describe
from web.problems import Fault
from web.render import Shape, accepted, answer, job_path
from web.requestlog import about

LONGEST: dict[Bucket, timedelta] = {"hour": timedelta(days=31), "day": timedelta(days=366)}
"""The longest time that one question may be about."""
USUAL: dict[Bucket, timedelta] = {"hour": timedelta(days=1), "day": timedelta(days=30)}

FIRST_YEAR = 1970

blueprint = Blueprint("analytics", __name__)


def _timely(at: datetime) -> datetime:
    if not is_timely(at, datetime.now(UTC)):
        expected = "a time within the last 7 days, at most 5 minutes ahead"
        raise PydanticCustomError("enum", "send {expected}", {"expected": expected})
    return at


class SentEvent(Event):
    """Something that somebody did, not long ago."""

    at: Annotated[EventTime, AfterValidator(_timely)] | None = Field(
        default=None,
        description="When: within the last 7 days. Left out: when it is received.",
        json_schema_extra={"format": "date-time"},
    )


class Events(Payload):
    """What readers and viewers did. Unknown fields are refused."""

    events: list[SentEvent] = Field(min_length=1, max_length=MOST_EVENTS, description="What happened, in any order.")


class AcceptedEvents(Shape):
    """Events that are going to be counted."""

    accepted: int = Field(description="How many.")
    job_id: str = Field(description="The job that counts them, within seconds.")


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError("enum", "send {expected}", {"expected": f"{A_TIME}, or a date"}) from None
    if moment.year < FIRST_YEAR:  # of which nothing is known, and before which there may be no time at all
        raise PydanticCustomError("enum", "send {expected}", {"expected": f"a time of the year {FIRST_YEAR} or later"})
    return moment


Moment = Annotated[datetime, BeforeValidator(_moment, json_schema_input_type=str)]


class CountsQuery(Shape):
    """Which counts."""

    model_config = ConfigDict(extra="forbid")

    event: EventName | None = Field(default=None, description="Only these events.")
    subject: str | None = Field(default=None, min_length=1, max_length=300, description="Only what was done with this.")
    from_: Moment | None = Field(
        default=None, alias="from", description="The first hour or day. Left out: a day before `to`, or 30 by day."
    )
    to: Moment | None = Field(default=None, description="The end, which does not count any more. Left out: now.")
    by: Bucket = Field(default="hour", description="Counts for each hour (at most 31 days of them) or day (366), in UTC.")
    user: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Only events that this user has sent; another's take the role operator or viewer.",
    )


class CountShape(Shape):
    """How often an event happened in an hour or a day."""

    at: datetime = Field(description="When the hour or day begins.")
    event: EventName = Field(description="What was done.")
    count: int = Field(description="How often.")

    @classmethod
    def of(cls, count: Count) -> CountShape:
        return cls(at=count.at, event=count.event, count=count.n)


class Counts(Shape):
    """How often events happened."""

    from_: datetime = Field(alias="from", description="The beginning of the first hour or day.")
    to: datetime = Field(description="The end, which does not count any more.")
    by: Bucket = Field(description="What each count is for.")
    counts: list[CountShape] = Field(description="In order of time. Where nothing happened, nothing stands.")


BEGIN = datetime(2026, 1, 15, 9, tzinfo=UTC)
EXAMPLE = Counts(
    from_=BEGIN, to=BEGIN + timedelta(days=1), by="hour", counts=[CountShape(at=BEGIN, event="article_view", count=412)]
)


@blueprint.post("/api/analytics/events")
@describe(
    Operation(
        section="Analytics",
        summary="Send events",
        detail=f"Up to {MOST_EVENTS} things that your readers and viewers did. They go through the queue and are counted once, "
        "each in the hour in which it happened. They are yours: others don't see your counts.",
        body=Events,
        takes_key=True,
        examples={
            "What happened just now": {
                "events": [
                    {"event": "article_view", "subject": "growing-tomatoes", "data": {"referrer": "newsletter"}},
                    {"event": "video_play", "subject": "waves", "data": {"seconds": 12.5}},
                ]
            }
        },
        replies={
            202: Reply(what="Accepted.", shape=AcceptedEvents, example=AcceptedEvents(accepted=2, job_id=JOB_ID)),
        },
    )
)
def create() -> Response:
    batch = read(Events)
    drains().refuse_order("analytics")
    payload = batch.model_dump(mode="json", exclude_unset=True)
    job, replayed = once(batch, Order(kind="analytics", payload=payload, user_id=current_user().id), submit)
    about(job.id)
    return accepted(AcceptedEvents(accepted=len(batch.events), job_id=job.id), job_path(job.id), replayed)


@blueprint.get("/api/analytics")
@describe(
    Operation(
        section="Analytics",
        summary="Count events",
        detail="How often what happened: in the events that you sent, and with the role operator or viewer in everybody's.",
        query=CountsQuery,
        examples={
            "": {"event": "article_view", "by": "day"},
            "Of one article": {"event": "article_view", "subject": "growing-tomatoes"},
        },
        replies={200: Reply(what="The counts.", shape=Counts, example=EXAMPLE)},
    )
)
def index() -> Response:
    query = read_query(CountsQuery)
    since, until = _period(query)
    found = analytics().counts(
        whose(query.user), since=since, until=until, by=query.by, event=query.event, subject=query.subject
    )
    return answer(Counts(from_=since, to=until, by=query.by, counts=[CountShape.of(count) for count in found]))


def _period(query: CountsQuery) -> tuple[datetime, datetime]:
    """From the beginning of an hour or day, of a length that the index answers quickly."""
    until = query.to or datetime.now(UTC)
    since = query.from_ or until - USUAL[query.by]
    if since >= until:
        raise refused([Fault(field="from", message="from is not before to: send an earlier time.")])
    if until - since > LONGEST[query.by]:
        days = LONGEST[query.by].days
        raise refused([Fault(field="from", message=f"from is too long before to: by {query.by} ask for at most {days} days.")])
    first = since.replace(minute=0, second=0, microsecond=0)
    return (first.replace(hour=0) if query.by == "day" else first), until
