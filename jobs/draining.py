"""Queues that take no new jobs because somebody empties them.

What was accepted before is done, with all that follows from it; only new orders are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache

import structlog

from jobs.database import Database, Document, available, database
from jobs.expressions import NOW, literal
from jobs.glance import HOLDS_SECONDS, Glance
from queues.catalogue import kind_named

log = structlog.get_logger()

REFUSED_EVERYWHERE_SECONDS = 2 * HOLDS_SECONDS
"""So long after a drain began, no process accepts an order any more."""


class QueueDraining(Exception):
    """The queue takes no new jobs just now."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"The queue {kind} takes no new jobs just now, because it is being emptied. Try again later.")
        self.kind = kind


@dataclass(frozen=True, kw_only=True)
class Drain:
    """Who empties a kind's queue, and since when by MongoDB's time."""

    kind: str
    by: str
    since: datetime


class Drains:
    """Over one database. Methods raise `DatabaseUnavailable` when MongoDB is away, but for `refuse_order`."""

    def __init__(self, source: Database) -> None:
        self._source = source
        self._seen: Glance[Mapping[str, Drain]] = Glance(self.all, at_first={})

    def begin(self, kind: str, by: str) -> None:
        """Take no new jobs of this kind, until `end`. Beginning again changes nothing.

        Raises:
            KeyError: there is no such kind.
        """
        kind_named(kind)
        kept: Document = {"by": {"$ifNull": ["$by", literal(by)]}, "since": {"$ifNull": ["$since", NOW]}}
        with available():
            self._source.collection("draining").update_one({"_id": kind}, [{"$set": kept}], upsert=True)
        self._seen.forget()
        log.info("queue takes no new jobs", kind=kind, by=by)

    def end(self, kind: str, by: str) -> bool:
        """Take jobs of this kind again; whether they were refused."""
        kind_named(kind)
        with available():
            ended = self._source.collection("draining").delete_one({"_id": kind}).deleted_count == 1
        self._seen.forget()
        if ended:
            log.info("queue takes new jobs again", kind=kind, by=by)
        return ended

    def all(self) -> dict[str, Drain]:
        """The kinds that take no new jobs."""
        with available():
            found = list(self._source.collection("draining").find())
        return {each["_id"]: Drain(kind=each["_id"], by=each["by"], since=each["since"]) for each in found}

    def refuse_order(self, kind: str) -> None:
        """Return where the kind takes new jobs, as of the last second; at most one request a second, however often asked.

        Raises:
            QueueDraining: it does not.
        """
        if kind in self._seen():
            raise QueueDraining(kind)


@cache
def drains() -> Drains:
    """The process's view of the drains."""
    return Drains(database())
