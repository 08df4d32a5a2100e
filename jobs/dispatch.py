"""Which jobs need a message, and who sends it.

Whoever wants to send a job's message first takes the job's dispatch, by compare-and-set: so two senders rarely send twice, and
one that dies before its send is made up for once its time is over.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from functools import cache
from secrets import token_hex

from pymongo import ASCENDING, UpdateOne

from jobs.database import Document, available, database
from jobs.document import Job
from jobs.expressions import NOW, ago, expr
from jobs.life import OPEN, TRANSITIONS, UNSTARTED, WAITING, Status
from jobs.pace import DISPATCH_SECONDS_MOST, pace
from jobs.sequence import Ordering
from jobs.verbs import UNDISPATCHED, Verbs, names
from queues.catalogue import internal_kinds, kind_named
from queues.steps import Step, reached

USER_CAP = "user_cap"
"""What a job waits for whose user has no free place: no time lifts it."""
IS_SENT: Document = {"$gt": ""}
"""Of `message_id`: a message is named. (Not "is not null", which takes in more of the index.)"""
IS_DUE: Document = {"$lte": ["$not_before", NOW]}  # null counts as passed, in comparisons as in the index
IS_LAPSED: Document = {"$lte": ["$dispatch.until", NOW]}


class Dispatches(Verbs):
    """The verbs of a job's dispatch, and the queries for the jobs that need one. All raise `DatabaseUnavailable`."""

    # -- verbs

    def take(self, jobs: Sequence[Job], by: str) -> list[Job]:
        """Take the dispatch of those of these jobs that still are as they were read, and are due: who takes must send.

        A message that a job named is forgotten. What was scheduled is queued now.
        """
        if not jobs:
            return []
        taker = f"{by}/{token_hex(4)}"  # no two takes of a process are mistaken for each other
        with available():
            written = self._jobs.bulk_write([self._taking(job, taker) for job in jobs], ordered=False)
            if not written.matched_count:
                return []
            ids = [job.id for job in jobs]
            taken = {document["_id"]: document for document in self._jobs.find({"_id": {"$in": ids}, "dispatch.by": taker})}
        for job_id in taken:
            reached(Step.DISPATCHED, job_id)
        return [Job.from_document(taken[job_id]) for job_id in ids if job_id in taken]

    def _taking(self, job: Job, taker: str) -> UpdateOne:
        guard = {"_id": job.id, "dispatch.n": job.dispatch["n"], "message_id": job.message_id}
        again = 1 if job.message_id else 0
        changes: Document = {
            "status": {"$cond": [{"$in": ["$status", names(UNSTARTED)]}, Status.QUEUED.value, "$status"]},
            "dispatch": self._dispatched({"$add": ["$dispatch.n", 1]}, taker)
            | {"again": {"$add": [{"$ifNull": ["$dispatch.again", 0]}, again]}},
            "message_id": None,
            "not_before": None,
            "waiting_for": None,
        }
        return UpdateOne(
            self._guard("take", guard | expr({"$and": [IS_DUE, IS_LAPSED]})), [{"$set": self._changes("take", changes)}]
        )

    def wait_for_place(self, jobs: Sequence[Job]) -> None:
        """Let these jobs, whose dispatch is ours, wait until their user has a free place."""
        changes: Document = {
            "waiting_for": {"reason": USER_CAP, "until": None},
            "not_before": None,
            "dispatch": UNDISPATCHED,
        }
        updates = [
            UpdateOne(
                self._guard("wait_for_place", {"_id": job.id, "dispatch.n": job.dispatch["n"], "message_id": None}),
                [{"$set": self._changes("wait_for_place", changes)}],
            )
            for job in jobs
        ]
        if updates:
            with available():
                self._jobs.bulk_write(updates, ordered=False)

    # -- jobs that need a message

    def unsent(self, kind: str, most: int) -> list[Job]:
        """Jobs that are due and have no message, high priority first. Those that wait for their user's place are not."""
        wanted = {
            "kind": kind,
            "status": {"$in": names(TRANSITIONS["take"].sources)},
            "message_id": None,
            "waiting_for.reason": {"$ne": USER_CAP},
        }
        return self._find(wanted | expr({"$and": [IS_DUE, IS_LAPSED]}), "open_unsent", most)

    def count_sent(self, kind: str) -> int:
        """How many messages there should be in the queue, at the least.

        One for each open job that was sent. Where an order is kept, a message may have served several jobs of its group, but
        one is left as long as the group has an open job.
        """
        wanted = {"kind": kind, "status": {"$in": names(OPEN - {Status.SCHEDULED})}, "message_id": IS_SENT}
        with available():
            if kind_named(kind).fifo:
                groups: list[Document] = [{"$match": wanted}, {"$group": {"_id": "$group"}}]
                return len([*self._jobs.aggregate(groups, hint="open_sent")])
            return self._jobs.count_documents(wanted, hint="open_sent")

    def longest_sent(self, kind: str, most: int) -> list[Job]:
        """Jobs that nobody runs, due and sent, the longest sent first."""
        wanted = {"kind": kind, "status": {"$in": names(WAITING)}, "message_id": IS_SENT, **self._first_of_groups(kind)}
        with available():
            found = self._jobs.find(wanted | expr({"$and": [IS_DUE, IS_LAPSED]}), hint="open_sent")
            return [Job.from_document(each) for each in found.sort([("dispatch.at", ASCENDING)]).limit(most)]

    def silent(self, kind: str, most: int) -> list[Job]:
        """Sent jobs that nobody runs and of which nothing was heard for long: the longer, the oftener they were sent again."""
        silence = round(self._pace.silent * 1000)
        doubled = {"$multiply": [silence, {"$pow": [2, {"$ifNull": ["$dispatch.again", 0]}]}]}
        heard = {"$max": ["$dispatch.at", "$not_before"]}
        is_silent = {"$lte": [{"$add": [heard, {"$min": [doubled, DISPATCH_SECONDS_MOST * 1000]}]}, NOW]}
        wanted = {"kind": kind, "status": {"$in": names(WAITING)}, "message_id": IS_SENT, **self._first_of_groups(kind)}
        was_sent_before = {"$lte": ["$dispatch.at", ago(self._pace.silent)]}
        return self._find(wanted | expr({"$and": [was_sent_before, is_silent, IS_LAPSED]}), "open_sent", most)

    def _first_of_groups(self, kind: str) -> Document:
        """Where an order is kept, a group is woken for its oldest open job; the others have nothing to be sent for."""
        if not kind_named(kind).fifo:
            return {}
        return {"_id": {"$in": Ordering(self._source, self._pace).oldest_of_all(kind)}}

    # -- users' places

    def users_waiting(self) -> list[str]:
        """The users that have jobs waiting for a place."""
        with available():
            return sorted(
                {
                    user
                    for status in names(WAITING)
                    for user in self._jobs.distinct("user_id", {"waiting_for.reason": USER_CAP, "status": status})
                }
            )

    def waiting_for_place(self, user_id: str, most: int) -> list[Job]:
        """The user's jobs that wait for a place: high priority first, then the oldest."""
        wanted = {"waiting_for.reason": USER_CAP, "status": {"$in": names(WAITING)}, "user_id": user_id}
        with available():
            found = self._jobs.find(wanted, hint="open_place").sort([("priority", ASCENDING), ("created_at", ASCENDING)])
            return [Job.from_document(each) for each in found.limit(most)]

    def free_places(self, user_id: str, cap: int, *, besides: Sequence[str] = ()) -> int:
        """How many more of the user's jobs may be in the queue or running; those with the ids `besides` are not counted."""
        wanted = {"user_id": user_id, "status": {"$in": names(OPEN)}, "message_id": IS_SENT, "kind": {"$nin": internal_kinds()}}
        if besides:
            wanted["_id"] = {"$nin": [*besides]}
        with available():
            return cap - self._jobs.count_documents(wanted, limit=cap, hint="open_user_sent")

    def first_taken(self, user_id: str, most: int) -> list[str]:
        """The ids of the user's jobs that are being sent just now, those first that were taken first."""
        wanted = {"user_id": user_id, "status": {"$in": names(OPEN)}, "message_id": None, "kind": {"$nin": internal_kinds()}}
        is_taken = {"$gt": ["$dispatch.until", NOW]}
        with available():
            found = self._jobs.find(wanted | expr(is_taken), {"_id": 1}, hint="open_user_sent")
            return [each["_id"] for each in found.sort([("dispatch.until", ASCENDING), ("_id", ASCENDING)]).limit(most)]

    def _find(self, wanted: Document, index: str, most: int) -> list[Job]:
        """In the order of the index."""
        with available():
            return [Job.from_document(document) for document in self._jobs.find(wanted, hint=index).limit(most)]


@cache
def dispatches() -> Dispatches:
    """The process's dispatches."""
    return Dispatches(database(), pace())


@cache
def process_name() -> str:
    """Who dispatches, as jobs record it."""
    return f"{socket.gethostname()}:{os.getpid()}"
