"""What waits and what gets done, kind by kind, as MongoDB knows it: SQS can't tell which message may be worked on now."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from jobs.database import Document, available, database
from jobs.dispatch import IS_DUE, USER_CAP
from jobs.expressions import NOW, ago, expr
from jobs.life import OPEN, WAITING, Status
from jobs.verbs import names
from queues.catalogue import HIGH, NORMAL
from queues.per_minute import MINUTES

MOST_MILLISECONDS = 4_000


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """The jobs of a kind that are not over, and how fast they end."""

    open: int = 0
    scheduled: int = 0
    """Of those, how many are for later."""
    processing: int = 0
    startable: int = 0
    """How many a worker could start now."""
    oldest_startable_seconds: float | None = None
    """For how long the oldest of them could have been started; None: there is none."""
    completed_per_minute: float = 0
    """Over the last five minutes."""

    @property
    def clears_in_seconds(self) -> float | None:
        """How long what can start takes at the pace of the last five minutes; None: at that pace it never ends."""
        if not self.startable:
            return 0
        return self.startable / self.completed_per_minute * 60 if self.completed_per_minute else None


def backlogs(kinds: Iterable[str]) -> dict[str, Backlog]:
    """The backlogs of these kinds.

    Raises:
        DatabaseUnavailable: MongoDB is away, or too busy to count.
    """
    wanted = [*kinds]
    counted = {(each["_id"]["kind"], each["_id"]["status"]): each["n"] for each in _aggregate(_open(wanted), "kind_status")}
    startable = {each["_id"]: each for each in _aggregate(_startable(wanted), "open_line")}
    completed = {each["_id"]: each["n"] for each in _aggregate(_completed(wanted), "finished")}
    return {
        kind: Backlog(
            open=sum(counted.get((kind, status.value), 0) for status in OPEN),
            scheduled=counted.get((kind, Status.SCHEDULED.value), 0),
            processing=counted.get((kind, Status.PROCESSING.value), 0),
            startable=startable[kind]["n"] if kind in startable else 0,
            oldest_startable_seconds=startable[kind]["age"] / 1000 if kind in startable else None,
            completed_per_minute=completed.get(kind, 0) / MINUTES,
        )
        for kind in wanted
    }


def _open(kinds: Collection[str]) -> list[Document]:
    return [
        {"$match": {"kind": {"$in": kinds}, "status": {"$in": names(OPEN)}}},
        {"$group": {"_id": {"kind": "$kind", "status": "$status"}, "n": {"$sum": 1}}},
    ]


def _startable(kinds: Collection[str]) -> list[Document]:
    can_start = {"$and": [IS_DUE, {"$ne": ["$waiting_for.reason", USER_CAP]}]}
    since = {"$max": ["$created_at", "$not_before"]}
    return [
        {"$match": {"kind": {"$in": kinds}, "priority": {"$in": [HIGH, NORMAL]}, "status": {"$in": names(WAITING)}}},
        {
            "$group": {  # what can start is asked here, because a filter with $expr would read every job
                "_id": "$kind",
                "n": {"$sum": {"$cond": [can_start, 1, 0]}},
                "oldest": {"$min": {"$cond": [can_start, since, None]}},
            }
        },
        {"$match": {"n": {"$gt": 0}}},
        {"$set": {"age": {"$max": [0, {"$subtract": [NOW, "$oldest"]}]}}},
    ]


def _completed(kinds: Collection[str]) -> list[Document]:
    recent = {"$gte": ["$finished_at", ago(MINUTES * 60)]}
    return [
        {"$match": {"kind": {"$in": kinds}, "status": Status.COMPLETED.value} | expr(recent)},
        {"$group": {"_id": "$kind", "n": {"$sum": 1}}},
    ]


def _aggregate(stages: list[Document], index: str) -> list[dict[str, Any]]:
    with available():
        return list(database().collection("jobs").aggregate(stages, hint=index, maxTimeMS=MOST_MILLISECONDS))
