"""When a waiting job starts, as far as that can be told: how many stand before it, and how fast its kind gets on.

An estimate: SQS keeps no strict order, and is fair between users. For one job at a time; a list of jobs has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from jobs.database import Database, DatabaseUnavailable, Document, available, database
from jobs.dispatch import IS_DUE, USER_CAP
from jobs.document import Job
from jobs.expressions import ago, expr
from jobs.glance import Glance
from jobs.life import WAITING, Status
from jobs.pauses import pauses
from jobs.verbs import names
from queues.catalogue import HIGH, KINDS, NORMAL
from queues.per_minute import MINUTES

MOST_BEFORE = 10_000
"""Jobs that are counted before one. Of a longer line nobody knows the end."""
MOST_MILLISECONDS = 1_000
RATES_HOLD_SECONDS = 10.0


@dataclass(frozen=True)
class Forecast:
    """Of one job, as it is now. None: nobody can tell."""

    position: int | None = None
    """How many startable jobs of its kind and lane stand before it."""
    starts_in_seconds: int | None = None
    """At the pace of the last five minutes."""


NOTHING = Forecast()


@dataclass(frozen=True)
class Rate:
    """Of a kind."""

    ends_per_second: float = 0
    """Attempts of jobs that came to their end give their slot to the next."""
    waiting_high: int = 0
    """Startable jobs in the high lane, which start before those in the normal one."""


class Forecasts:
    """Over one database. With MongoDB away, or too busy to count, there is no forecast."""

    def __init__(self, source: Database) -> None:
        self._source = source
        self._rates: Glance[Mapping[str, Rate]] = Glance(self._look, at_first={}, holds_seconds=RATES_HOLD_SECONDS)

    def of(self, job: Job) -> Forecast:
        """When the job starts; nothing of one that runs, is over, or waits for something else than its turn."""
        if not is_in_line(job):
            return NOTHING
        try:
            position = self._count(before(job), "open_line")
        except DatabaseUnavailable:
            return NOTHING
        if position >= MOST_BEFORE:
            return NOTHING
        return Forecast(position, self._starts_in_seconds(job, position))

    def _starts_in_seconds(self, job: Job, position: int) -> int | None:
        rate = self._rates().get(job.kind, Rate())
        if not rate.ends_per_second or pauses().is_paused(job.kind):
            return None
        first = rate.waiting_high if job.priority == NORMAL else 0
        return round((position + first) / rate.ends_per_second)

    def _look(self) -> Mapping[str, Rate]:
        return {
            kind.name: Rate(
                self._count(ended_lately(kind.name), "finished") / (MINUTES * 60),
                self._count(startable(kind.name, HIGH), "open_line") if kind.has_high_lane else 0,
            )
            for kind in KINDS.values()
        }

    def _count(self, wanted: Document, index: str) -> int:
        most = MOST_BEFORE if index == "open_line" else 0
        stages: list[Document] = [{"$match": wanted}, *([{"$limit": most}] if most else []), {"$count": "n"}]
        with available():
            found = list(self._source.collection("jobs").aggregate(stages, hint=index, maxTimeMS=MOST_MILLISECONDS))
        return found[0]["n"] if found else 0


def is_in_line(job: Job) -> bool:
    """Whether the job waits for nothing but its turn. (One with a time to start is sent once it has come.)"""
    is_due = job.not_before is None or job.message_id is not None
    return job.status is Status.QUEUED and job.waiting_for is None and is_due


def startable(kind: str, lane: str) -> Document:
    """The jobs of a lane that a worker could start now."""
    return {
        "kind": kind,
        "priority": lane,
        "status": {"$in": names(WAITING)},
        "waiting_for.reason": {"$ne": USER_CAP},
        **expr(IS_DUE),
    }


def before(job: Job) -> Document:
    """Those that were accepted before this one."""
    return startable(job.kind, job.priority) | {"created_at": {"$lt": job.created_at}}


def ended_lately(kind: str) -> Document:
    """The jobs whose work ended in the last minutes."""
    ends = [Status.COMPLETED.value, Status.FAILED.value]
    return {"kind": kind, "status": {"$in": ends}, **expr({"$gte": ["$finished_at", ago(MINUTES * 60)]})}


@cache
def forecasts() -> Forecasts:
    """The process's."""
    return Forecasts(database())
