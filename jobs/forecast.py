"""When a waiting job starts, as far as that can be told: how many stand before it, and how fast slots get free.

An estimate: SQS keeps no strict order, and is fair between users. For one job at a time; a list of jobs has none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from statistics import median
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
from jobs.workers import WorkerDocument, workers
from queues.catalogue import HIGH, KINDS, NORMAL, Kind
from queues.per_minute import MINUTES

MOST_BEFORE = 10_000
"""Jobs that are counted before one. Of a longer line nobody knows the end."""
MOST_MILLISECONDS = 1_000
RATES_HOLD_SECONDS = 10.0
RUNS_LOOKED_AT = 20
"""The last jobs that completed tell how long one takes."""
LEAST_RUN_SECONDS = 0.05
"""No job takes less: receiving, claiming and recording take their time too."""
LINE_HOLDS_SECONDS = 1.0
"""How old the length of a line may be that a new job is told: counting it costs as much as the line is long."""


@dataclass(frozen=True)
class Forecast:
    """Of one job, as it is now. None: nobody can tell."""

    position: int | None = None
    """How many startable jobs of its kind and lane stand before it."""
    starts_in_seconds: int | None = None
    """At the pace of the last five minutes, or at that of the slots there are, were they idle meanwhile."""


NOTHING = Forecast()


@dataclass(frozen=True)
class Rate:
    """Of a kind."""

    ends_per_second: float = 0
    """Jobs that come to their end give their slot to the next. At the least so many do: in the last minutes slots may have
    been idle, so what they get done while all work counts too."""
    slots: int | None = None
    """Of the workers that run now; None: none says that it runs."""
    waiting_high: int | None = 0
    """Startable jobs in the high lane, which start before those in the normal one; None: too many to count."""


@dataclass
class _Line:
    """Of a kind and lane: how many startable jobs stand before the last that was submitted here."""

    length: int | None
    running: int
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
        return self._at(job, self._measured(job)) if is_in_line(job) else NOTHING

    def of_new(self, job: Job) -> Forecast:
        """The same of a job that was just submitted here: the last of its line, which is counted once a second."""
        if not is_in_line(job):
            return NOTHING
        with self._counting:
            line = self._lines.get((job.kind, job.priority))
            if line is None or monotonic() >= line.until:
                line = self._lines[job.kind, job.priority] = self._measured(job)
            elif line.length is not None:
                line.length += 1
            return self._at(job, line)

    def _measured(self, job: Job) -> _Line:
        until = monotonic() + LINE_HOLDS_SECONDS
        try:
            before = self._count(startable(job.kind, job.priority, before=job), "open_line")
            return _Line(before, self._count(running(job.kind), "kind_status") or 0, until)
        except DatabaseUnavailable:
            return _Line(None, 0, until)

    def _at(self, job: Job, line: _Line) -> Forecast:
        if line.length is None:
            return NOTHING
        return Forecast(line.length, self._starts_in_seconds(job, line.length, line.running))

    def _starts_in_seconds(self, job: Job, position: int, running: int) -> int | None:
        rate = self._rates().get(job.kind, Rate())
        first = rate.waiting_high if job.priority == NORMAL else 0
        if first is None or pauses().is_paused(job.kind):
            return None
        ahead = position + first
        # how many jobs must end first; with no word of any worker nobody knows how many could start at once
        turns = ahead if rate.slots is None else max(0, ahead + 1 - max(0, rate.slots - running))
        if rate.slots and not turns:
            return 0
        return round(turns / rate.ends_per_second) if rate.ends_per_second else None

    def _look(self) -> Mapping[str, Rate]:
        slots = slots_by_kind(workers())
        return {kind.name: self._rate(kind, slots.get(kind.name)) for kind in KINDS.values()}

    def _rate(self, kind: Kind, slots: float | None) -> Rate:
        ended = (self._count(ended_lately(kind.name), "finished") or 0) / (MINUTES * 60)
        run = self._typical_run_seconds(kind.name) if slots else None
        return Rate(
            max(ended, slots / run) if slots and run else ended,
            None if slots is None else max(1, round(slots)),
            self._count(startable(kind.name, HIGH), "open_line") if kind.has_high_lane else 0,
        )

    def _typical_run_seconds(self, kind: str) -> float | None:
        """From its first start to its end, the median of the last jobs; None where none has completed."""
        completed = {"kind": kind, "status": Status.COMPLETED.value}
        with available():
            found = self._source.collection("jobs").find(completed, {"started_at": 1, "finished_at": 1}, hint="finished")
            last = [*found.sort("finished_at", -1).limit(RUNS_LOOKED_AT)]
        runs = [(job["finished_at"] - job["started_at"]).total_seconds() for job in last if job.get("started_at")]
        return max(median(runs), LEAST_RUN_SECONDS) if runs else None

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


def running(kind: str) -> list[Document]:
    """Count the jobs of a kind that are being worked on."""
    return [{"$match": {"kind": kind, "status": Status.PROCESSING.value}}, {"$limit": MOST_BEFORE}, _sum(1)]


def slots_by_kind(fleet: Iterable[WorkerDocument]) -> Mapping[str, float]:
    """How many jobs of each kind these workers run at once. What several kinds share counts for each in part."""
    slots: dict[str, float] = defaultdict(float)
    for worker in fleet:
        for kind in worker.kinds:
            slots[kind] += worker.slots / len(worker.kinds)
    return slots


def ended_lately(kind: str) -> list[Document]:
    """Count the jobs whose work ended in the last minutes."""
    ends = [Status.COMPLETED.value, Status.FAILED.value]
    recent = expr({"$gte": ["$finished_at", ago(MINUTES * 60)]})
    return [
        {"$match": {"kind": kind, "status": {"$in": ends}} | recent},
        {"$group": {"_id": None, "n": {"$sum": 1}, "seen": {"$max": 0}}},
    ]


def _sum(n: Document | int) -> Document:
    return {"$group": {"_id": None, "n": {"$sum": n}, "seen": {"$sum": 1}}}


@cache
def forecasts() -> Forecasts:
    """The process's."""
    return Forecasts(database())
