"""What readers and viewers did, counted by the hour for each user whose content it was done with.

A job brings a batch of events. A count remembers the batches that are in it, and takes each once: so a batch is counted once,
whoever dies in the middle of it, however often its message comes, and if its job is started over. No transaction holds the
counts together: the one of a worker that is killed would keep everybody else from the same hour for a minute.

Beside each subject's counts stand those of all subjects together (`ALL`), which most questions are about. A count lies in up to
`PARTS` documents, so that none grows large where many batches come in an hour.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Literal, get_args

from pymongo import UpdateOne

from jobs.database import Database, Document, available, database
from jobs.document import Job
from jobs.expressions import literal

EventName = Literal["article_view", "video_play", "user_action"]
EVENTS: tuple[EventName, ...] = get_args(EventName)
Bucket = Literal["hour", "day"]
Counted = tuple[EventName, str, datetime]
"""Which event, of which subject, in which hour."""

ALL = ""
"""In a subject's place: all subjects together."""
PARTS = 16
WRITES_A_REQUEST = 200
"""So that each is answered in time by a MongoDB that is busy."""
MOST_AHEAD = timedelta(minutes=5)
"""As far a sender's clock may be ahead of ours."""
MOST_LATE = timedelta(days=7)
"""An event may be sent so long after it happened; it counts in its own hour all the same."""


@dataclass(frozen=True)
class Happening:
    """Something that somebody did with a subject: an article, a video, a button."""

    event: EventName
    subject: str
    at: datetime


@dataclass(frozen=True)
class Count:
    """How often an event happened in the hour or the day (UTC) that begins at `at`."""

    at: datetime
    event: EventName
    n: int


def is_timely(at: datetime, received: datetime, *, leeway: timedelta = timedelta(0)) -> bool:
    """Whether an event received then may have happened at `at`."""
    return received - MOST_LATE - leeway <= at <= received + MOST_AHEAD + leeway


class Analytics:
    """Over one database. Methods raise `DatabaseUnavailable` when MongoDB is away."""

    def __init__(self, source: Database) -> None:
        self._source = source

    def enter(self, job: Job, happenings: Iterable[Happening]) -> None:
        """Count the job's batch, as far as that was not done before."""
        name = hashlib.sha256(job.id.encode()).digest()[:12]
        updates = [_taking(job.user_id, count, n, name) for count, n in sorted(_by_hour(happenings).items())]
        for start in range(0, len(updates), WRITES_A_REQUEST):
            with available():
                self._source.collection("analytics").bulk_write(updates[start : start + WRITES_A_REQUEST], ordered=False)

    def counts(
        self,
        user_id: str | None,
        *,
        since: datetime,
        until: datetime,
        by: Bucket,
        event: EventName | None = None,
        subject: str | None = None,
    ) -> list[Count]:
        """The counts of a user (None: of all), in order of time; hours and days in which nothing happened are left out."""
        wanted: Document = {
            "event": {"$in": [event] if event else [*EVENTS]},
            "subject": subject if subject is not None else ALL,
            "hour": {"$gte": since, "$lt": until},
        }
        if user_id is not None:
            wanted["user_id"] = user_id
        stages: list[Mapping[str, object]] = [
            {"$match": wanted},
            {"$group": {"_id": {"at": {"$dateTrunc": {"date": "$hour", "unit": by}}, "event": "$event"}, "n": {"$sum": "$n"}}},
            {"$sort": {"_id.at": 1, "_id.event": 1}},
        ]
        with available():
            found = self._source.collection("analytics").aggregate(stages, hint="of_user" if user_id is not None else "of_all")
            return [Count(each["_id"]["at"], each["_id"]["event"], each["n"]) for each in found]


def _taking(user_id: str, count: Counted, n: int, batch: bytes) -> UpdateOne:
    """Add a batch's share to a count that does not have it yet."""
    event, subject, hour = count
    fields: Document = {"user_id": user_id, "event": event, "subject": subject, "hour": hour}
    batches = {"$ifNull": ["$batches", []]}
    taken: Document = {
        **{field: literal(value) for field, value in fields.items()},
        "n": {"$add": [{"$ifNull": ["$n", 0]}, n]},
        "batches": {"$concatArrays": [batches, literal([batch])]},
    }
    is_new = {"$not": [{"$in": [literal(batch), batches]}]}
    return UpdateOne(
        {"_id": {**fields, "part": batch[0] % PARTS}},
        [{"$replaceWith": {"$cond": [is_new, {"$mergeObjects": ["$$ROOT", taken]}, "$$ROOT"]}}],
        upsert=True,
    )


def _by_hour(happenings: Iterable[Happening]) -> Counter[Counted]:
    found: Counter[Counted] = Counter()
    for each in happenings:
        hour = each.at.replace(minute=0, second=0, microsecond=0)
        for subject in (each.subject, ALL):
            found[each.event, subject, hour] += 1
    return found


@cache
def analytics() -> Analytics:
    """The process's."""
    return Analytics(database())
