"""Without SQS (`BROKER=none`): the line of jobs that web processes run themselves.

Sending a job is naming a message in its document, which lets it stand in line; the line is a query. So a job that was sent is
never lost, any number of processes may share a line, and what is true of a message is true of a place in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from threading import Event

from jobs.database import Document, available, database
from jobs.dispatch import IS_DUE, IS_SENT
from jobs.document import Job
from jobs.expressions import expr
from jobs.life import OPEN, WAITING, Status
from jobs.pace import pace
from jobs.sequence import Ordering
from jobs.verbs import Verbs, names
from queues.catalogue import NORMAL, Kind, kind_named
from queues.queue import Depth
from queues.status import KindDepth

woken = Event()
"""Set when something in this process may have changed what can be started: a job sent, a slot free."""


class Line(Verbs):
    """Over one database. Methods raise `DatabaseUnavailable` when MongoDB is away."""

    def first(self, kinds: Collection[str], lane: str, most: int, *, but: Collection[str] = ()) -> list[Job]:
        """Jobs of these kinds and this lane that may be started now, the oldest first.

        Of a group that is done in order only the first is among them; those with the ids in `but` are not.
        """
        wanted: Document = {
            "kind": {"$in": sorted(kinds)},
            "priority": lane,
            "status": {"$in": names(WAITING)},
            "message_id": IS_SENT,
            "_id": {"$nin": sorted(but)},
        }
        ordered = [kind for kind in kinds if kind_named(kind).fifo]
        if ordered:
            oldest = [job_id for kind in ordered for job_id in Ordering(self._source, self._pace).oldest_of_all(kind)]
            wanted["$or"] = [{"kind": {"$nin": ordered}}, {"_id": {"$in": oldest}}]
        with available():
            found = self._jobs.find(wanted | expr(IS_DUE), hint="open_line").sort("created_at", 1).limit(most)
            return [Job.from_document(each) for each in found]

    def depths(self, kinds: Iterable[Kind]) -> dict[str, KindDepth]:
        """What SQS would say of these kinds' queues: jobs that could start, that run, and that wait for their time."""
        wanted = [*kinds]
        place = {
            "$switch": {
                "branches": [
                    {"case": {"$eq": ["$status", Status.PROCESSING.value]}, "then": "in_flight"},
                    {"case": {"$and": [IS_DUE, {"$gt": ["$message_id", ""]}]}, "then": "visible"},
                ],
                "default": "delayed",
            }
        }
        named = [kind.name for kind in wanted]
        counted: dict[tuple[str, str], Depth] = defaultdict(Depth)
        of_open: Document = {"kind": {"$in": named}, "status": {"$in": names(OPEN)}}
        for each in self._count(of_open, {"lane": "$priority", "place": place}):
            told = each["_id"]
            lane = told["lane"] if told["lane"] in kind_named(told["kind"]).lanes else NORMAL
            counted[told["kind"], lane] += Depth(**{told["place"]: each["n"]})
        failed: Mapping[str, int] = {
            each["_id"]["kind"]: each["n"]
            for each in self._count({"kind": {"$in": named}, "status": Status.FAILED.value, "error.dropped": None}, {})
        }
        return {
            kind.name: KindDepth(
                lanes={lane: counted[kind.name, lane] for lane in kind.lanes},
                dead_letters=Depth(visible=failed.get(kind.name, 0)),
                missing=[],
            )
            for kind in wanted
        }

    def _count(self, wanted: Document, by: Document) -> list[Document]:
        with available():
            return list(
                self._jobs.aggregate([{"$match": wanted}, {"$group": {"_id": {"kind": "$kind"} | by, "n": {"$sum": 1}}}])
            )


@cache
def line() -> Line:
    """The process's."""
    return Line(database(), pace())
