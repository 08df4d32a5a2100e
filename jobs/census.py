"""How many jobs there are of each kind in each state.

Those that are open are few, and counted at each look. Those that are over are all that are kept, perhaps millions: counting
them takes as long as they are many, so what was counted last holds the longer, and a look that takes too long leaves them out.
"""

from __future__ import annotations

from functools import cache
from threading import Lock
from time import monotonic

import structlog

from jobs.database import Database, DatabaseUnavailable, Document, available, database
from jobs.life import FINAL, OPEN, Status
from jobs.verbs import names
from queues.catalogue import KINDS

log = structlog.get_logger()

INDEX = "kind_status"
MOST_MILLISECONDS = 4_000
HOLDS_TIMES = 50
"""What was counted holds so many times as long as counting it took: MongoDB has a fiftieth of one processor's time for it."""

Counts = dict[tuple[str, Status], int]


def count(statuses: frozenset[Status]) -> list[Document]:
    """Count the jobs of all kinds in these states: from the index alone, no job is read for it."""
    return [
        {"$match": {"kind": {"$in": sorted(KINDS)}, "status": {"$in": names(statuses)}}},
        {"$group": {"_id": {"kind": "$kind", "status": "$status"}, "n": {"$sum": 1}}},
    ]


class Census:
    """Over one database."""

    def __init__(self, source: Database) -> None:
        self._source = source
        self._final: Counts = {}
        self._until = 0.0
        self._counting = Lock()

    def __call__(self) -> Counts:
        """The number of jobs by kind and state, with a zero for what there is none of. Where many jobs are kept, those that are
        over are told as they were some time ago, and left out where there are too many to be counted.

        Raises:
            DatabaseUnavailable: MongoDB is away, or too busy to count the open ones.
        """
        return self._count(OPEN) | self._counted_final()

    def _counted_final(self) -> Counts:
        with self._counting:
            if monotonic() >= self._until:
                began = monotonic()
                try:
                    self._final = self._count(FINAL)
                except DatabaseUnavailable as error:
                    log.warning("finished jobs are not counted; MongoDB takes too long", reason=str(error))
                    self._final = {}
                self._until = monotonic() + (monotonic() - began) * HOLDS_TIMES
            return self._final

    def _count(self, statuses: frozenset[Status]) -> Counts:
        with available():
            found = self._source.collection("jobs").aggregate(count(statuses), hint=INDEX, maxTimeMS=MOST_MILLISECONDS)
            counted = {(each["_id"]["kind"], Status(each["_id"]["status"])): each["n"] for each in found}
        return {(kind, status): 0 for kind in KINDS for status in statuses} | counted


@cache
def census() -> Census:
    """The process's."""
    return Census(database())
