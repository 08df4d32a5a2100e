"""What readers and viewers did, counted by the hour for each user whose content it was done with.

A job brings a batch of events. Its counts, and the mark on the job that it is counted, are one transaction under the job's
lease: so a batch is counted once, whoever dies before or after it, however often its message comes, and if the job is started
over. Beside each subject's counts stand those of all subjects together (`ALL`), which most questions are about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from threading import Lock
from typing import Literal, get_args

from pymongo import ReturnDocument, UpdateOne
from pymongo.client_session import ClientSession

from jobs.database import Database, Document, available, database
from jobs.document import Job
from jobs.errors import LeaseLost
from jobs.expressions import NOW
from jobs.pace import Pace, pace
from jobs.verbs import Verbs

EventName = Literal["article_view", "video_play", "user_action"]
EVENTS: tuple[EventName, ...] = get_args(EventName)
Bucket = Literal["hour", "day"]

ALL = ""
"""In a subject's place: all subjects together."""
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


class Analytics(Verbs):
    """Over one database. Methods raise `DatabaseUnavailable` when MongoDB is away."""

    def __init__(self, source: Database, pace: Pace) -> None:
        super().__init__(source, pace)
        self._turn = Lock()
        """One batch after another: most concern the same hour, and transactions that meet there start anew."""

    def enter(self, job: Job, happenings: Iterable[Happening]) -> None:
        """Count the job's batch, if that was not done before.

        Raises:
            LeaseLost: the job is another's by now; nothing was counted.
        """
        assert job.lease is not None
        guard = self._guard("checkpoint", {"_id": job.id, "lease.token": job.lease.token})
        counted = [
            UpdateOne(
                {"user_id": job.user_id, "event": event, "subject": subject, "hour": hour}, {"$inc": {"n": n}}, upsert=True
            )
            for (event, subject, hour), n in sorted(_by_hour(happenings).items())
        ]

        def write(session: ClientSession) -> None:
            before = self._jobs.find_one_and_update(
                guard,
                [{"$set": {"counted_at": {"$ifNull": ["$counted_at", NOW]}}}],
                projection={"counted_at": 1},
                return_document=ReturnDocument.BEFORE,
                session=session,
            )
            if before is None:
                raise LeaseLost
            if before.get("counted_at") is None and counted:
                self._source.collection("analytics").bulk_write(counted, session=session)

        with self._turn:
            self._source.in_transaction(write)

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


def _by_hour(happenings: Iterable[Happening]) -> Counter[tuple[EventName, str, datetime]]:
    found: Counter[tuple[EventName, str, datetime]] = Counter()
    for each in happenings:
        hour = each.at.replace(minute=0, second=0, microsecond=0)
        for subject in (each.subject, ALL):
            found[each.event, subject, hour] += 1
    return found


@cache
def analytics() -> Analytics:
    """The process's."""
    return Analytics(database(), pace())
