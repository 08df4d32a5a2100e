"""Queues that nothing is received from, and why: paused by hand, or because the provider that the kind uses by default is down.

While a queue is paused its messages stay where they are and keep their receives. Jobs on it that name another provider wait
too: nobody can tell whose message the next receive brings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache

import structlog
from pymongo.collection import Collection

from jobs.database import Database, Document, available, database
from jobs.expressions import NOW, literal
from jobs.glance import Glance
from jobs.outages import Outages, outages
from jobs.pace import Pace, pace
from queues.catalogue import kind_named
from settings import settings

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Why nothing is received from a kind's queue. Times are MongoDB's."""

    kind: str
    reason: str
    by: str
    """Who paused it by hand; `outage` where nobody did."""
    since: datetime
    next_try: datetime | None = None
    """When the provider is probed next; None for a pause by hand, which ends by hand."""


class Pauses:
    """Over one database. A pause by hand and one for an outage are two: neither's end lifts the other.

    Only pauses by hand are written. An outage's document names the kinds that wait for it, so their pause begins and ends
    with it.
    """

    def __init__(self, source: Database, pace: Pace, known_outages: Outages) -> None:
        self._source = source
        self._pace = pace
        self._outages = known_outages
        self._seen: Glance[Mapping[str, Pause]] = Glance(self._look, at_first={})

    def pause(self, kind: str, reason: str, by: str) -> None:
        """Pause the kind's queue by hand, for good; pausing again replaces reason and name.

        Raises:
            KeyError: there is no such kind.
            DatabaseUnavailable: MongoDB is away.
        """
        kind_named(kind)
        changes: Document = {"reason": literal(reason), "by": literal(by), "since": {"$ifNull": ["$since", NOW]}}
        with self._changing() as written:
            written.update_one({"_id": kind}, [{"$set": changes}], upsert=True)
        log.info("queue paused", kind=kind, reason=reason, by=by)

    def resume(self, kind: str, by: str) -> bool:
        """End the pause by hand; whether there was one. Where the provider is down, the queue stays paused for that.

        Raises:
            KeyError: there is no such kind.
            DatabaseUnavailable: MongoDB is away.
        """
        kind_named(kind)
        with self._changing() as written:
            ended = written.delete_one({"_id": kind}).deleted_count == 1
        if ended:
            log.info("queue resumed", kind=kind, by=by)
        return ended

    def known(self) -> dict[str, Pause]:
        """The paused kinds, as they were within the last second, or two where they are kept known; with MongoDB away, as they
        were seen last.

        Of a kind paused by hand and for an outage it is the pause by hand, which lasts longer.
        """
        return {**self._for_outage(), **self._seen()}

    def is_paused(self, kind: str) -> bool:
        """Whether to receive nothing from the kind's queue. At most one request a second, however often it is asked."""
        return kind in self.known()

    def keep_known(self) -> None:
        """From now on pauses are looked at before anybody asks, as they were within the last two seconds: a message that has
        come waits for nothing."""
        self._outages.keep_known()
        self._seen.keep()

    def _for_outage(self) -> dict[str, Pause]:
        outage = self._outages.known().get(settings().provider_name)
        if outage is None or outage.seconds_left < -self._pace.overdue:
            return {}  # with nobody left who probes, the next job has to
        reason = f"provider {outage.provider} is down: {outage.reason}"
        since, next_try = outage.since, outage.next_probe_at
        return {kind: Pause(kind=kind, reason=reason, by="outage", since=since, next_try=next_try) for kind in outage.kinds}

    def _look(self) -> Mapping[str, Pause]:
        with available():
            return {each["_id"]: _by_hand(each) for each in self._source.collection("pauses").find()}

    @contextmanager
    def _changing(self) -> Iterator[Collection[Document]]:
        try:
            with available():
                yield self._source.collection("pauses")
        finally:
            self._seen.forget()


def _by_hand(document: Document) -> Pause:
    return Pause(kind=document["_id"], reason=document["reason"], by=document["by"], since=document["since"])


@cache
def pauses() -> Pauses:
    """The process's view of the pauses."""
    return Pauses(database(), pace(), outages())
