"""The order in which the jobs of an ordered kind are done, group by group (a group is a user).

A job's `seq` is its number in its group. Taking a number and writing the job that has it are one transaction, so where a number
is seen, the jobs of all smaller ones are seen too. Numbers only grow, and a job that is started over gets a new one: what is
over under its number is over for good. Therefore the oldest open job of a group stays its oldest open job until it ends, and a
claim that asks for that job under that number can't overtake another.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import TypeVar

from pymongo import ASCENDING, ReturnDocument
from pymongo.client_session import ClientSession

from jobs.database import Document, available, database
from jobs.document import Job
from jobs.expressions import NOW
from jobs.life import OPEN
from jobs.pace import pace
from jobs.verbs import Verbs, names

T = TypeVar("T")

INDEX = "open_in_order"


class Ordering(Verbs):
    """Over one database. Methods raise `DatabaseUnavailable` when MongoDB is away."""

    def append(self, kind: str, group: str, count: int, write: Callable[[ClientSession, int], T]) -> T:
        """What `write(session, seq)` answers: it writes `count` jobs in the session, with the numbers from `seq` on.

        It is called again where others append to the group at the same time. Numbers that it does not use are left out.
        """

        def both(session: ClientSession) -> T:
            taken = self._source.collection("sequences").find_one_and_update(
                {"_id": f"{kind}/{group}"},
                {"$inc": {"last": count}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
                session=session,
            )
            assert taken is not None  # an upsert that answers the document after it
            return write(session, taken["last"] - count + 1)

        return self._source.in_transaction(both)

    def oldest(self, kind: str, group: str) -> tuple[Job | None, datetime]:
        """The group's oldest open job, and MongoDB's time at which it was read."""
        stages: list[Document] = [
            {"$match": {"kind": kind, "group": group, "status": {"$in": names(OPEN)}}},
            {"$sort": {"seq": ASCENDING}},
            {"$limit": 1},
            {"$set": {"read_at": NOW}},
        ]
        with available():
            document = next(self._jobs.aggregate(stages, hint=INDEX), None)
        if document is None:
            return None, datetime.now(UTC)
        return Job.from_document(document), document["read_at"]

    def oldest_of_all(self, kind: str) -> list[str]:
        """The ids of the oldest open jobs of all groups."""
        stages: list[Document] = [
            {"$match": {"kind": kind, "group": {"$gt": ""}, "status": {"$in": names(OPEN)}}},
            {"$sort": {"group": ASCENDING, "seq": ASCENDING}},
            {"$group": {"_id": "$group", "oldest": {"$first": "$_id"}}},
        ]
        with available():
            return [group["oldest"] for group in self._jobs.aggregate(stages, hint=INDEX)]


@cache
def ordering() -> Ordering:
    """The process's."""
    return Ordering(database(), pace())
