"""Ending all open jobs of a kind, as its operator may."""

from __future__ import annotations

from jobs.database import AT_A_TIME, available, database
from jobs.life import OPEN, Status
from jobs.store import store
from jobs.verbs import names


def cancel_open(kind: str) -> tuple[int, int]:
    """Ask for the end of every open job of the kind, whosever it is: how many are over, and how many have yet to stop.

    Raises:
        DatabaseUnavailable: MongoDB is away; some may be cancelled.
    """
    over = stopping = 0
    with available():
        found = database().collection("jobs").find({"kind": kind, "status": {"$in": names(OPEN)}}, {"user_id": 1})
        for document in found.batch_size(AT_A_TIME):
            job = store().request_cancel(document["_id"], document["user_id"])
            if job is not None:
                over += job.status is Status.CANCELLED
                stopping += job.status is not Status.CANCELLED
    return over, stopping
