"""When a waiting job starts, as far as that can be told: how many stand before it, and how fast its kind gets on.

An estimate: SQS keeps no strict order, and is fair between users. For one job at a time; a list of jobs has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from threading import Lock
from time import monotonic

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
LINE_HOLDS_SECONDS = 1.0
"""How old the length of a line may be that a new job is told: counting it costs as much as the line is long."""


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
    waiting_high: int | None = 0
    """Startable jobs in the high lane, which start before those in the normal one; None: too many to count."""


@dataclass
class _Line:
    """Of a kind and lane: how many startable jobs stand before the last that was submitted here."""

    length: int | None
    until: float


class Forecasts:
    """Over one database. With MongoDB away, or too busy to count, there is no forecast."""

    def __init__(self, source: Database) -> None:
        self._source = source
        self._lines: dict[tuple[str, str], _Line] = {}
        self._counting = Lock()
        self._rates: Glance[Mapping[str, Rate]] = Glance(self._look, at_first={}, holds_seconds=RATES_HOLD_SECONDS)

    def of(self, job: Job) -> Forecast:
        """When the job starts; nothing of one that runs, is over, or waits for something else than its turn."""
        return self._at(job, self._position(job)) if is_in_line(job) else NOTHING

    def of_new(self, job: Job) -> Forecast:
        """The same of a job that was just submitted here: the last of its line, which is counted once a second."""
        if not is_in_line(job):
            return NOTHING
        with self._counting:
            line = self._lines.get((job.kind, job.priority))
            if line is None or monotonic() >= line.until:
                line = _Line(self._position(job), monotonic() + LINE_HOLDS_SECONDS)
                self._lines[job.kind, job.priority] = line
            elif line.length is not None:
                line.length += 1
            position = line.length
        return self._at(job, position)

    def _position(self, job: Job) -> int | None:
        try:
            return self._count(startable(job.kind, job.priority, before=job), "open_line")
        except DatabaseUnavailable:
            return None

    def _at(self, job: Job, position: int | None) -> Forecast:
        return NOTHING if position is None else Forecast(position, self._starts_in_seconds(job, position))

    def _starts_in_seconds(self, job: Job, position: int) -> int | None:
        rate = self._rates().get(job.kind, Rate())
        if not rate.ends_per_second or pauses().is_paused(job.kind):
            return None
        first = rate.waiting_high if job.priority == NORMAL else 0
        if first is None:
            return None
        return round((position + first) / rate.ends_per_second)

    def _look(self) -> Mapping[str, Rate]:
        return {
            kind.name: Rate(
                (self._count(ended_lately(kind.name), "finished") or 0) / (MINUTES * 60),
                self._count(startable(kind.name, HIGH), "open_line") if kind.has_high_lane else 0,
            )
            for kind in KINDS.values()
        }

    def _count(self, stages: list[Document], index: str) -> int | None:
        """What is counted, from the index alone; None: too much to be counted."""
        with available():
            found = list(self._source.collection("jobs").aggregate(stages, hint=index, maxTimeMS=MOST_MILLISECONDS))
        if not found:
            return 0
        return None if found[0]["seen"] >= MOST_BEFORE else found[0]["n"]


def is_in_line(job: Job) -> bool:
    """Whether the job waits for nothing but its turn. (One with a time to start is sent once it has come.)"""
    is_due = job.not_before is None or job.message_id is not None
    return job.status is Status.QUEUED and job.waiting_for is None and is_due


def startable(kind: str, lane: str, before: Job | None = None) -> list[Document]:
    """Count the jobs of a lane that a worker could start now; those that were accepted before this one."""
    wanted: Document = {"kind": kind, "priority": lane, "status": {"$in": names(WAITING)}}
    if before is not None:
        wanted["created_at"] = {"$lt": before.created_at}
    can_start = {"$and": [IS_DUE, {"$ne": ["$waiting_for.reason", USER_CAP]}]}
    # what can start is asked behind the filter, because there it would read every job
    return [{"$match": wanted}, {"$limit": MOST_BEFORE}, _sum({"$cond": [can_start, 1, 0]})]


def ended_lately(kind: str) -> list[Document]:
    """Count the jobs whose work ended in the last minutes."""
    ends = [Status.COMPLETED.value, Status.FAILED.value]
    recent = expr({"$gte": ["$finished_at", ago(MINUTES * 60)]})
    return [
        {"$match": {"kind": kind, "status": {"$in": ends}} | recent},
        {"$group": {"_id": None, "n": {"$sum": 1}, "seen": {"$max": 0}}},
    ]


def _sum(n: Document) -> Document:
    return {"$group": {"_id": None, "n": {"$sum": n}, "seen": {"$sum": 1}}}


@cache
def forecasts() -> Forecasts:
    """The process's."""
    return Forecasts(database())
