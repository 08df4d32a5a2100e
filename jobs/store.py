"""The jobs in MongoDB: one method for each verb of a job's life, each one conditional write.

Every write asks for the statuses that `jobs.life.TRANSITIONS` allows and, under a lease, for the lease's token; a write whose
condition does not hold changes nothing and answers False or None. Every time is MongoDB's (`$$NOW`). `version` grows with every
write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from pymongo import DESCENDING, ReturnDocument, UpdateOne
from pymongo.collection import Collection

from jobs.cursor import read_cursor, write_cursor
from jobs.database import Database, Document, available, database
from jobs.document import Job
from jobs.expressions import NOW, expr, later, literal, new_or_kept
from jobs.life import FINAL, MOST_CRASHES, TRANSITIONS, WAITING, Status
from settings import settings

HISTORY_ENTRIES = 50
DISPATCH_SECONDS = 10
"""How long who inserted a job has to send its message before the relay does."""
UNRECORDED = frozenset({"renew", "progress", "checkpoint", "mark_sent", "effect_done"})
"""Verbs that leave no entry in the history: they come too often or say nothing to its reader."""


class JobStore:
    """The verbs, over one database. Methods raise `DatabaseUnavailable` when MongoDB is away."""

    def __init__(self, source: Database, lease_seconds: float) -> None:
        self._source = source
        self._lease_seconds = lease_seconds

    @property
    def _jobs(self) -> Collection[Document]:
        return self._source.collection("jobs")

    # -- reading

    def get(self, job_id: str, user_id: str | None = None) -> Job | None:
        """The job, or None if there is none (or none of that user)."""
        wanted = {"_id": job_id} | ({"user_id": user_id} if user_id is not None else {})
        with available():
            document = self._jobs.find_one(wanted)
        return Job.from_document(document) if document else None

    def look(self, job_id: str) -> tuple[Job | None, datetime]:
        """The job, and MongoDB's time at which it was read."""
        with available():
            document = next(self._jobs.aggregate([{"$match": {"_id": job_id}}, {"$set": {"read_at": NOW}}]), None)
        if document is None:
            return None, datetime.now(UTC)
        return Job.from_document(document), document["read_at"]

    def page(
        self,
        user_id: str,
        *,
        kind: str | None = None,
        status: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> tuple[list[Job], str | None]:
        """A page of a user's jobs, newest first, and the cursor of the next page (None: this was the last).

        Raises:
            BadCursor: the cursor is not one of ours.
        """
        wanted: Document = {"user_id": user_id}
        if kind:
            wanted["kind"] = kind
        if status:
            wanted["status"] = status
        if cursor:
            created_at, job_id = read_cursor(cursor)
            wanted["$or"] = [{"created_at": {"$lt": created_at}}, {"created_at": created_at, "_id": {"$lt": job_id}}]
        with available():
            found = list(self._jobs.find(wanted).sort([("created_at", DESCENDING), ("_id", DESCENDING)]).limit(limit + 1))
        jobs = [Job.from_document(document) for document in found[:limit]]
        return jobs, write_cursor(jobs[-1]) if len(found) > limit else None

    # -- on the way to a worker

    def insert(self, document: Document, *, by: str) -> Job:
        """Insert a new job, its first dispatch taken by `by`. A job that exists already is left and answered as it is."""
        with available():
            inserted = self._jobs.find_one_and_update(
                {"_id": document["_id"]}, _insertion(document, by), upsert=True, return_document=ReturnDocument.AFTER
            )
        assert inserted is not None  # an upsert that answers the document after it
        return Job.from_document(inserted)

    def insert_many(self, documents: Sequence[Document], *, by: str) -> list[Job]:
        """Insert new jobs, as `insert` does, in few requests; the jobs in their order."""
        ids = [document["_id"] for document in documents]
        updates = [UpdateOne({"_id": document["_id"]}, _insertion(document, by), upsert=True) for document in documents]
        with available():
            self._jobs.bulk_write(updates, ordered=False)
            found = {document["_id"]: document for document in self._jobs.find({"_id": {"$in": ids}})}
        return [Job.from_document(found[job_id]) for job_id in ids]

    def mark_sent(self, sent: Mapping[str, str], *, n: int) -> None:
        """Name the messages (`{job id: message id}`) of dispatch `n`, where the job is still waiting under it."""
        updates = [
            UpdateOne(
                self._guard("mark_sent", {"_id": job_id, "dispatch.n": n, "lease": None}),
                [{"$set": self._changes("mark_sent", {"message_id": literal(message_id)})}],
            )
            for job_id, message_id in sent.items()
        ]
        if updates:
            with available():
                self._jobs.bulk_write(updates, ordered=False)

    def claim(self, job_id: str, *, kind: str, token: str, worker: str, message_id: str | None) -> Job | None:
        """Take the job, if it is of this kind, under a lease with this token, or None.

        Counts an attempt where the job was waiting, a crash where another's lease had run out. Repeating a claim with its
        token changes nothing more.
        """
        is_ours = {"$eq": ["$lease.token", literal(token)]}
        is_waiting = {"$in": ["$status", _names(WAITING)]}
        is_due = {"$lte": [{"$ifNull": ["$not_before", NOW]}, NOW]}
        is_in_time = {"$or": [{"$ne": ["$started_at", None]}, {"$gt": [{"$ifNull": ["$expires_at", later(1)]}, NOW]}]}
        can_start = {"$and": [is_waiting, is_due, is_in_time, {"$lt": ["$attempts", "$max_attempts"]}]}
        was_lost = {
            "$and": [
                {"$eq": ["$status", Status.PROCESSING.value]},
                {"$lte": ["$lease.expires_at", NOW]},
                {"$lt": ["$crashes", MOST_CRASHES]},
            ]
        }
        guard = {
            "_id": job_id,
            "kind": kind,
            **expr({"$or": [is_ours, {"$and": [{"$eq": ["$cancel_requested", None]}, {"$or": [can_start, was_lost]}]}]}),
        }
        return self._write(
            "claim",
            guard,
            {
                "attempts": {"$add": ["$attempts", {"$cond": [is_waiting, 1, 0]}]},
                "crashes": {"$add": ["$crashes", {"$cond": [{"$or": [is_waiting, is_ours]}, 0, 1]}]},
                "lease": {"token": literal(token), "worker": literal(worker), "expires_at": later(self._lease_seconds)},
                "message_id": literal(message_id) if message_id else "$message_id",
                "started_at": {"$ifNull": ["$started_at", NOW]},
                "not_before": None,
                "waiting_for": None,
                "progress": {"percent": "$progress.percent", "stage": "Started"},
            },
            note={"worker": literal(worker)},
        )

    # -- under a lease

    def renew(self, tokens: Sequence[str]) -> None:
        """Prolong the leases with these tokens."""
        with available():
            self._jobs.update_many(
                self._guard("renew", {"lease.token": {"$in": list(tokens)}}),
                [{"$set": {"lease.expires_at": later(self._lease_seconds)}}],
            )

    def held(self, tokens: Sequence[str]) -> dict[str, bool]:
        """The tokens whose leases still stand, each with whether its job's cancel is asked for."""
        with available():
            found = self._jobs.find(
                {"status": Status.PROCESSING.value, "lease.token": {"$in": list(tokens)}},
                {"lease.token": 1, "cancel_requested": 1},
            )
            return {document["lease"]["token"]: document["cancel_requested"] is not None for document in found}

    def progress(self, job_id: str, token: str, *, percent: int, stage: str) -> bool:
        """Say how far the job is. The percentage never falls."""
        return self._holds(
            "progress",
            job_id,
            token,
            {"progress": {"percent": {"$max": ["$progress.percent", percent]}, "stage": literal(stage)}},
        )

    def checkpoint(self, job_id: str, token: str, checkpoint: Mapping[str, Any]) -> bool:
        """Keep what the next attempt must know."""
        return self._holds("checkpoint", job_id, token, {"checkpoint": literal(dict(checkpoint))})

    def complete(
        self,
        job_id: str,
        token: str,
        *,
        result: Mapping[str, Any],
        usage: Mapping[str, Any],
        effects: Sequence[Mapping[str, Any]] = (),
        related_jobs: Sequence[str] = (),
    ) -> bool:
        """Record the result and what must follow from it, in one write."""
        return self._holds(
            "complete",
            job_id,
            token,
            {
                "result": literal(dict(result)),
                "usage": literal(dict(usage)),
                "effects": {"$concatArrays": ["$effects", literal([dict(effect) for effect in effects])]},
                "related_jobs": {"$setUnion": ["$related_jobs", literal(list(related_jobs))]},
                "progress": {"percent": 100, "stage": "Done"},
                "error": None,
                "lease": None,
                "checkpoint": literal({}),
            },
        )

    def fail(self, job_id: str, token: str, *, code: str, message: str, retryable: bool) -> bool:
        """End the job as failed."""
        return self._holds("fail", job_id, token, {"error": _error(code, message, retryable), "lease": None}, note=_noted(code))

    def retry_later(self, job_id: str, token: str, *, seconds: float, code: str, message: str) -> bool:
        """End the attempt; the next may start in so many seconds. Asked to cancel, the job is cancelled instead."""
        return self._leave(
            "retry_later",
            job_id,
            token,
            {"error": _error(code, message, True), "not_before": later(seconds)},
            note=_noted(code) | {"seconds": seconds},
        )

    def park(self, job_id: str, token: str, *, reason: str, seconds: float | None) -> bool:
        """Not now: wait for `reason`, the attempt given back and the message let go."""
        until = later(seconds) if seconds is not None else None
        return self._leave(
            "park",
            job_id,
            token,
            {
                "attempts": {"$subtract": ["$attempts", 1]},
                "not_before": until,
                "waiting_for": {"reason": literal(reason), "until": until},
                "message_id": None,
                "dispatch": {"n": "$dispatch.n", "by": None, "until": None, "at": "$dispatch.at"},
            },
            note={"reason": literal(reason)},
        )

    def hand_back(self, job_id: str, token: str) -> bool:
        """Give the job up without counting the attempt; a fresh message must follow."""
        return self._leave(
            "hand_back",
            job_id,
            token,
            {
                "attempts": {"$subtract": ["$attempts", 1]},
                "message_id": None,
                "dispatch": {"n": "$dispatch.n", "by": None, "until": None, "at": "$dispatch.at"},
            },
        )

    # -- by its user, or by time

    def request_cancel(self, job_id: str, user_id: str) -> Job | None:
        """Ask for the end of an open job: at once where nobody runs it, else by whoever does. None: it is over already."""
        is_running = {"$eq": ["$status", Status.PROCESSING.value]}
        return self._write(
            "request_cancel",
            {"_id": job_id, "user_id": user_id},
            {
                "cancel_requested": {"$ifNull": ["$cancel_requested", NOW]},
                "status": {"$cond": [is_running, "$status", Status.CANCELLED.value]},
                "finished_at": {"$cond": [is_running, None, NOW]},
                "error": {"$cond": [is_running, "$error", _error("cancelled", "The job was cancelled.", False)]},
            },
        )

    def cancel(self, job_id: str, token: str | None) -> bool:
        """End a job whose cancel was asked for: under its lease, or (no token) where no live lease stands."""
        if token is not None:
            guard = {"_id": job_id, "lease.token": token}
        else:
            is_free = {"$or": [{"$eq": ["$lease", None]}, {"$lte": ["$lease.expires_at", NOW]}]}
            guard = {"_id": job_id, **expr({"$and": [{"$ne": ["$cancel_requested", None]}, is_free]})}
        error = _error("cancelled", "The job was cancelled.", False)
        return self._write("cancel", guard, {"error": error, "lease": None}) is not None

    def expire(self, job_id: str) -> bool:
        """End a job that never started and whose time is over."""
        guard = {"_id": job_id, "started_at": None, "expires_at": {"$ne": None}, **expr({"$lte": ["$expires_at", NOW]})}
        error = _error("expired", "The job did not start in the time it was given.", False)
        return self._write("expire", guard, {"error": error}) is not None

    # -- after the end

    def requeue(self, job_id: str, *, by: str) -> Job | None:
        """Start the job over: its attempts are new, its dispatch is taken by `by`, who must send the message."""
        return self._write(
            "requeue",
            {"_id": job_id},
            {
                "attempts": 0,
                "crashes": 0,
                "error": None,
                "finished_at": None,
                "cancel_requested": None,
                "expires_at": None,
                "started_at": None,
                "not_before": None,
                "waiting_for": None,
                "message_id": None,
                "progress": {"percent": 0, "stage": "Waiting for a worker"},
                "dispatch": _dispatch({"$add": ["$dispatch.n", 1]}, by),
                # what was paid for is gone on with; a cancelled generation is gone at the provider too
                "checkpoint": {"$cond": [{"$eq": ["$status", Status.CANCELLED.value]}, literal({}), "$checkpoint"]},
            },
        )

    def effect_done(self, job_id: str, key: str) -> None:
        """Strike out an effect that was performed."""
        kept = {"$filter": {"input": "$effects", "cond": {"$ne": ["$$this.key", literal(key)]}}}
        self._write("effect_done", {"_id": job_id, "effects.key": key}, {"effects": kept})

    # -- how a verb is written

    def _holds(self, verb: str, job_id: str, token: str, changes: Document, note: Document | None = None) -> bool:
        """A write under a lease: whether the token still stood."""
        guard = self._guard(verb, {"_id": job_id, "lease.token": token})
        with available():
            answer = self._jobs.update_one(guard, [{"$set": self._changes(verb, changes, note)}])
        return answer.matched_count == 1

    def _leave(self, verb: str, job_id: str, token: str, changes: Document, note: Document | None = None) -> bool:
        """A write that gives the lease up with the job unfinished. Where its cancel is asked for, it is cancelled instead."""
        asked = {"$ne": ["$cancel_requested", None]}
        target = TRANSITIONS[verb].target
        assert target is not None
        return self._holds(
            verb,
            job_id,
            token,
            changes
            | {
                "lease": None,
                "status": {"$cond": [asked, Status.CANCELLED.value, target.value]},
                "finished_at": {"$cond": [asked, NOW, None]},
                "error": {
                    "$cond": [asked, _error("cancelled", "The job was cancelled.", False), changes.get("error", "$error")]
                },
            },
            note,
        )

    def _write(self, verb: str, guard: Document, changes: Document, note: Document | None = None) -> Job | None:
        with available():
            document = self._jobs.find_one_and_update(
                self._guard(verb, guard),
                [{"$set": self._changes(verb, changes, note)}],
                return_document=ReturnDocument.AFTER,
            )
        return Job.from_document(document) if document else None

    def _guard(self, verb: str, guard: Document) -> Document:
        return {"status": {"$in": _names(TRANSITIONS[verb].sources)}, **guard}

    def _changes(self, verb: str, changes: Document, note: Document | None = None) -> Document:
        target = TRANSITIONS[verb].target
        written: Document = {"version": {"$add": ["$version", 1]}}
        if target is not None:
            written["status"] = target.value
        if target in FINAL:
            written["finished_at"] = NOW
        if verb not in UNRECORDED:
            entry = {"at": NOW, "verb": verb, "attempt": changes.get("attempts", "$attempts"), **(note or {})}
            written["history"] = {"$slice": [{"$concatArrays": ["$history", [entry]]}, -HISTORY_ENTRIES]}
        return written | changes


def _insertion(document: Document, by: str) -> list[Document]:
    return new_or_kept(
        document,
        created_at=NOW,
        dispatch=_dispatch(1, by),
        history=[{"at": NOW, "verb": "submit", "attempt": 0}],
    )


def _dispatch(n: Any, by: str) -> Document:
    return {"n": n, "by": literal(by), "until": later(DISPATCH_SECONDS), "at": NOW}


def _error(code: str, message: str, retryable: bool) -> Document:
    return {
        "code": literal(code),
        "message": literal(message),
        "retryable": retryable,
        "attempt": "$attempts",
        "at": NOW,
    }


def _noted(code: str) -> Document:
    return {"code": literal(code)}


def _names(statuses: frozenset[Status]) -> list[str]:
    return sorted(status.value for status in statuses)


@cache
def store() -> JobStore:
    """The process's store."""
    return JobStore(database(), settings().lease_seconds)
