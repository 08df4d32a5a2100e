"""The jobs that are parked, by the reason they wait for: when they are due, and how many there are.

A parked job is queued with `not_before` and `waiting_for`; the relay sends it once it is due.
"""

from __future__ import annotations

from functools import cache

from jobs.database import Document, available, database
from jobs.expressions import NOW
from jobs.life import Status
from jobs.pace import pace
from jobs.verbs import Verbs
from settings import settings

OUTAGE = "provider_outage"
RATE_LIMIT = "rate_limit"


class Waiting(Verbs):
    """Over one database. Methods raise `DatabaseUnavailable` when MongoDB is away."""

    def due_in(self, reason: str, provider: str, *, seconds: float, within: float) -> int:
        """Make the provider's jobs that wait for `reason` due in so many seconds, spread `within` so many after; their number.

        Spread, so that a service that has just come back is not overrun by all that waited for it.
        """
        spread = {"$multiply": [{"$rand": {}}, round(within * 1000)]}
        due = {"$add": [NOW, round(seconds * 1000), {"$toLong": spread}]}
        with available():
            changed = self._jobs.update_many(
                _parked(reason, provider),
                [
                    {"$set": {"not_before": due, "version": {"$add": ["$version", 1]}}},
                    {"$set": {"waiting_for.until": "$not_before"}},
                ],
            )
        return changed.modified_count

    def count(self, reason: str, provider: str, *, most: int) -> int:
        """How many of the provider's jobs wait for `reason`, counted up to `most`."""
        with available():
            return self._jobs.count_documents(_parked(reason, provider), limit=most)


def _parked(reason: str, provider: str) -> Document:
    """Jobs that name no provider are the default one's. (The index by reason and status is the only one that fits.)"""
    names = [provider, None] if provider == settings().provider_name else [provider]
    return {"status": Status.QUEUED.value, "waiting_for.reason": reason, "provider": {"$in": names}}


@cache
def waiting() -> Waiting:
    """The process's parked jobs."""
    return Waiting(database(), pace())
