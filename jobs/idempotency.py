"""Keys that clients give their orders, so that an order sent twice is accepted once (`Idempotency-Key`).

A key stands for the id of what was ordered under it: it is kept, with that id, before the job is inserted. Whoever sends the
order again, or at the same time, gets that id, and inserting a job whose id is there already changes nothing. So a kill between
the two writes, or between the insert and the answer, leaves no second job.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from pymongo import ReturnDocument

from jobs.database import Document, available, database
from jobs.expressions import NOW, later, literal

KEPT_SECONDS = 24 * 3600


class KeyReused(ValueError):
    """Another order came with this key within a day. Send the same order again, or this one with a key of its own."""


@dataclass(frozen=True)
class Taken:
    """A user's key, and the id that belongs to it."""

    key: str
    job_id: str
    is_ours: bool
    """This call was the first; else the order may have been accepted already."""

    def entry(self, place: int) -> str:
        """The id of the job at this place of an order of many."""
        return hashlib.sha256(f"{self.job_id}:{place}".encode()).hexdigest()[:32]


def take(user_id: str, key: str, order: Mapping[str, Any]) -> Taken:
    """Take the key for an order, or find what was ordered under it in the last 24 hours.

    Raises:
        KeyReused: that was another order.
        DatabaseUnavailable: nothing is known.
    """
    wanted, identity = uuid4().hex, hashlib.sha256(f"{user_id}\0{key}".encode()).hexdigest()
    fresh: Document = {
        "_id": identity,
        "job_id": wanted,
        "user_id": literal(user_id),
        "fingerprint": _fingerprint(order),
        "expires_at": later(KEPT_SECONDS),
    }
    is_free = {"$lte": [{"$ifNull": ["$expires_at", NOW]}, NOW]}  # it is new, or MongoDB has not cleared it away yet
    with available():
        kept = (
            database()
            .collection("idempotency_keys")
            .find_one_and_update(
                {"_id": identity},
                [{"$replaceWith": {"$cond": [is_free, fresh, "$$ROOT"]}}],
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        )
    assert kept is not None  # an upsert that answers the document after it
    if kept["fingerprint"] != fresh["fingerprint"]:
        raise KeyReused(KeyReused.__doc__)
    return Taken(key, kept["job_id"], kept["job_id"] == wanted)


def _fingerprint(order: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(order, sort_keys=True).encode()).hexdigest()
