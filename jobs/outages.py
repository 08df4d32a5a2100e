"""What the whole fleet knows of providers that are down: one document for each, there from the first failed probe to the next
that succeeds. (`providers.outages` does the probing.)

`next_probe_at` comes with each failed probe, later and later. Whoever wins the probe writes his token and how long it holds, so
one process probes at a time, and one that dies in the middle blocks the others only so long. Each change is one conditional
write.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from time import monotonic
from typing import Any, Self
from uuid import uuid4

import structlog
from pymongo import ReturnDocument
from pymongo.collection import Collection

from jobs.database import Database, Document, available, database
from jobs.expressions import NOW, expr, later, literal
from jobs.glance import Glance
from jobs.pace import Pace, pace
from jobs.waiting import OUTAGE, waiting

log = structlog.get_logger()

PROBE_HOLDS_SECONDS = 15
"""A won probe is the winner's for so long: more than connecting and reading may take together."""
MOST_DOUBLINGS = 10


@dataclass(frozen=True, kw_only=True)
class Outage:
    """A provider that is down."""

    provider: str
    reason: str
    since: datetime
    next_probe_at: datetime
    kinds: frozenset[str]
    """The kinds that wait for it: those it serves where it is the default provider, else none."""
    failures: int
    seen_at: datetime
    """MongoDB's time when this was read or written."""
    token: str | None
    """Of whoever is probing."""
    due: float
    """The time of the next probe by this process's monotonic clock."""

    @classmethod
    def from_document(cls, document: Document) -> Self:
        left = (document["next_probe_at"] - document["seen_at"]).total_seconds()
        return cls(
            provider=document["_id"],
            reason=document["reason"],
            since=document["since"],
            next_probe_at=document["next_probe_at"],
            kinds=frozenset(document["kinds"]),
            failures=document["failures"],
            seen_at=document["seen_at"],
            token=(document["probing"] or {}).get("token"),
            due=monotonic() + left,
        )

    @property
    def seconds_left(self) -> float:
        """Until the next probe; negative once it is overdue."""
        return self.due - monotonic()


class Outages:
    """Over one database. Writing raises `DatabaseUnavailable` when MongoDB is away."""

    def __init__(self, source: Database, pace: Pace) -> None:
        self._source = source
        self._pace = pace
        self._seen: Glance[Mapping[str, Outage]] = Glance(self._look, at_first={})

    def known(self) -> Mapping[str, Outage]:
        """The outages by provider, as they were within the last second; with MongoDB away, as they were seen last."""
        return self._seen()

    def keep_known(self) -> None:
        """From now on they are looked at before anybody asks: as they were within the last two seconds."""
        self._seen.keep()

    def open(self, provider: str, reason: str, kinds: frozenset[str]) -> Outage:
        """A probe has failed: nobody asks the provider before the next. An outage that is known already stays as it is."""
        fresh: Document = {
            "_id": literal(provider),
            "reason": literal(reason),
            "since": NOW,
            "kinds": literal(sorted(kinds)),
            "failures": 1,
            "next_probe_at": later(self._until_probe(1)),
            "probing": None,
        }
        is_new = {"$eq": [{"$type": "$since"}, "missing"]}
        pipeline: list[Document] = [{"$replaceWith": {"$cond": [is_new, fresh, "$$ROOT"]}}, {"$set": {"seen_at": NOW}}]
        outage = self._written({"_id": provider}, pipeline, upsert=True)
        assert outage is not None  # an upsert that answers the document after it
        if outage.since == outage.seen_at:
            log.warning("provider is down: its jobs wait", provider=provider, reason=reason, **_next_try(outage))
        return outage

    def win_probe(self, provider: str) -> Outage | None:
        """Take the probe that is due, before all others. None: it is not due, or somebody else's."""
        free = {"$or": [{"$eq": ["$probing", None]}, {"$lte": ["$probing.until", NOW]}]}
        probing = {"token": uuid4().hex, "until": later(PROBE_HOLDS_SECONDS)}
        guard = {"_id": provider, **expr({"$and": [{"$lte": ["$next_probe_at", NOW]}, free]})}
        return self._written(guard, [{"$set": {"probing": probing, "seen_at": NOW}}])

    def close(self, won: Outage) -> None:
        """The probe that was won has succeeded: the jobs that waited are due, spread over a few seconds."""
        with available():
            closed = self._outages.delete_one({"_id": won.provider, "probing.token": won.token}).deleted_count
        self._seen.forget()
        if closed:
            after = round((won.seen_at - won.since).total_seconds())
            waited = waiting().due_in(OUTAGE, won.provider, seconds=0, within=self._pace.lease / 10)
            log.info("provider answers again", provider=won.provider, after_seconds=after, jobs_that_waited=waited)

    def put_off(self, won: Outage, reason: str) -> None:
        """The probe that was won has failed: the next comes later, and the jobs that wait come after it."""
        seconds = self._until_probe(won.failures + 1)
        changes = {
            "reason": literal(reason),
            "failures": won.failures + 1,
            "next_probe_at": later(seconds),
            "probing": None,
            "seen_at": NOW,
        }
        outage = self._written({"_id": won.provider, "probing.token": won.token}, [{"$set": changes}])
        if outage is not None:
            log.info("provider is still down", provider=won.provider, reason=reason, **_next_try(outage))
            waiting().due_in(OUTAGE, won.provider, seconds=seconds + self._pace.round, within=self._pace.round)

    def patience(self, provider: str) -> float:
        """For how many seconds a job of the provider waits: beyond the next probe, so that a relay makes it and not the job."""
        outage = self.known().get(provider)
        left = max(outage.seconds_left, 0) if outage else self._until_probe(1)
        return left + self._pace.round * random.uniform(1, 2)

    def _until_probe(self, failures: int) -> float:
        """From 1/6 of a lease, doubling to two leases; less by chance, so that providers are not probed in step."""
        doublings = min(failures - 1, MOST_DOUBLINGS)
        return min(self._pace.lease / 6 * float(2**doublings), self._pace.lease * 2) * random.uniform(0.75, 1)

    @property
    def _outages(self) -> Collection[Document]:
        return self._source.collection("outages")

    def _look(self) -> Mapping[str, Outage]:
        with available():
            found = [Outage.from_document(each) for each in self._outages.aggregate([{"$set": {"seen_at": NOW}}])]
        return {outage.provider: outage for outage in found}

    def _written(self, guard: Document, pipeline: list[Document], *, upsert: bool = False) -> Outage | None:
        try:
            with available():
                document = self._outages.find_one_and_update(
                    guard, pipeline, upsert=upsert, return_document=ReturnDocument.AFTER
                )
        finally:
            self._seen.forget()
        return Outage.from_document(document) if document else None


def _next_try(outage: Outage) -> dict[str, Any]:
    return {"next_try_seconds": round(outage.seconds_left, 1)}


@cache
def outages() -> Outages:
    """The process's view of the outages."""
    return Outages(database(), pace())
