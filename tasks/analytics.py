"""Analytics: what readers and viewers did, counted by the hour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from jobs.analytics import EventName, Happening, analytics, is_timely
from jobs.document import Job
from jobs.errors import InvalidPayload
from providers.base import Usage
from providers.requests import Line, Payload
from tasks.kinds import job
from tasks.patience import patiently
from tasks.run import Run

MOST_EVENTS = 500
MOST_DATA = 16
MOST_DATA_CHARACTERS = 300
LEEWAY = timedelta(minutes=5)
"""Between the clocks of who accepted a batch and of the database."""
A_TIME = "a time with its zone, as in 2026-12-01T09:00:00Z"


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment is None or moment.tzinfo is None:
            raise ValueError
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError("enum", "send {expected}", {"expected": A_TIME}) from None


def _small(data: dict[str, Any]) -> dict[str, Any]:
    if len(data) > MOST_DATA:
        raise PydanticCustomError("enum", "send {expected}", {"expected": f"at most {MOST_DATA} entries"})
    for name, value in data.items():
        if not isinstance(value, str | int | float | None) or len(name) > 64 or len(str(value)) > MOST_DATA_CHARACTERS:
            expected = (
                f"names of at most 64 characters, each with a text of at most {MOST_DATA_CHARACTERS}, a number, true or false"
            )
            raise PydanticCustomError("enum", "send {expected}", {"expected": expected})
    return data


EventTime = Annotated[datetime, BeforeValidator(_moment, json_schema_input_type=str), Field(strict=False)]


class Event(Payload):
    """Something that somebody did."""

    event: EventName = Field(description="What was done.")
    subject: Line = Field(description="With what: an article's or a video's id, a button's name.")
    at: EventTime | None = Field(
        default=None,
        description="When: within the last 7 days. Left out: when it is received.",
        json_schema_extra={"format": "date-time"},
    )
    data: Annotated[dict[str, Any], AfterValidator(_small)] = Field(
        default={},
        description="What you want to keep with it: up to 16 short texts and numbers. It stays with the job, uncounted.",
    )


class EventBatch(Payload):
    """Events of one user's readers and viewers."""

    trial: ClassVar[Mapping[str, Any]] = {"events": [{"event": "user_action", "subject": "send-test"}]}

    events: list[Event] = Field(min_length=1, max_length=MOST_EVENTS, description="What happened, in any order.")


@dataclass(frozen=True)
class Counted:
    """A batch that is counted where other results are stored: under the job's lease."""

    happenings: list[Happening]
    usage: Usage = field(default_factory=Usage)

    def keep(self, job: Job) -> Mapping[str, Any]:
        patiently(partial(analytics().enter, job, self.happenings))
        return {"counted": len(self.happenings)}


@job("analytics", payload=EventBatch)
def count_events(run: Run, request: EventBatch) -> Counted:
    received = run.job.created_at
    happenings = [Happening(each.event, each.subject, each.at or received) for each in request.events]
    for place, each in enumerate(happenings):
        if not is_timely(each.at, received, leeway=LEEWAY):
            raise InvalidPayload(f"events[{place}].at is {each.at}: send a time within the last 7 days.")
    return Counted(happenings)
