"""How many jobs there are of each kind in each state."""

from __future__ import annotations

from jobs.database import Document, available, database
from jobs.life import Status

INDEX = "kind_status"
MOST_MILLISECONDS = 4_000

COUNT: list[Document] = [
    {"$sort": {"kind": 1, "status": 1}},
    {"$group": {"_id": {"kind": "$kind", "status": "$status"}, "n": {"$sum": 1}}},
]
"""Answered from the index alone: no job is read for it."""


def census() -> dict[tuple[str, Status], int]:
    """The number of jobs by kind and state; what there is none of is left out.

    Raises:
        DatabaseUnavailable: MongoDB is away, or too busy to count.
    """
    with available():
        counted = database().collection("jobs").aggregate(COUNT, hint=INDEX, maxTimeMS=MOST_MILLISECONDS)
        return {(each["_id"]["kind"], Status(each["_id"]["status"])): each["n"] for each in counted}
