"""The jobs in MongoDB: one method for each verb of a job's life, each one conditional write.

Every write asks for the statuses that `jobs.life.TRANSITIONS` allows and, under a lease, for the lease's token; a write whose
condition does not hold changes nothing and answers False or None. Every time is MongoDB's (`$$NOW`). `version` grows with every
write.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from pymongo import UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError, DuplicateKeyError
from pymongo.write_concern import WriteConcern

from jobs.database import Document, available, database
from jobs.document import Job
from jobs.errors import AttemptsExhausted, WorkerLost
from jobs.expressions import NOW, expr, later, literal, new_or_kept
from jobs.gathering import MOST
from jobs.life import MOST_CRASHES, WAITING, Status
from jobs.pace import pace
from jobs.sequence import Ordering
from jobs.start_and_end import LOST_LEASE, SURVIVES_A_CRASH, StartAndEnd, of_each
from jobs.verbs import (
    BY_ID,
    CANCELLED_ERROR,
    UNDISPATCHED,
    WANTS_CANCEL,
    dead_lettered,
    error_entry,
    generation_cancelled,
    names,
    noted,
)

DUPLICATE_KEY = 11000
"""MongoDB's code for "there is one with that id"."""


class JobStore(StartAndEnd):
    """The verbs, over one database. Methods raise `DatabaseUnavailable` when MongoDB is away."""

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

    # -- on the way to a worker

    def insert(self, document: Document, *, by: str) -> Job:
        """Insert a new job, its first dispatch taken by `by`. A job that exists already is left and answered as it is."""
        return self.insert_many([document], by=by)[0]

    def insert_many(self, documents: Sequence[Document], *, by: str | Sequence[str]) -> list[Job]:
        """Insert new jobs, as `insert` does, in few requests; the jobs in their order, which those of a group keep.

        `by` is one for all, or one for each.
        """
        takers = [by] * len(documents) if isinstance(by, str) else by
        free: list[tuple[Document, str]] = []
        by_group: dict[tuple[str, str], list[tuple[Document, str]]] = defaultdict(list)
        for document, taker in zip(documents, takers, strict=True):
            if document["group"] is None:
                free.append((document, taker))
            else:
                by_group[document["kind"], document["group"]].append((document, taker))
        made = self._insert_free(free) if free else {}
        for (kind, group), those in by_group.items():
            self._insert_in_order(kind, group, those)
        ids = [document["_id"] for document in documents]
        if unread := [job_id for job_id in ids if job_id not in made]:
            with available():
                made |= {document["_id"]: document for document in self._jobs.find({"_id": {"$in": unread}})}
        return [Job.from_document(made[job_id]) for job_id in ids]

    def _insert_free(self, documents: Sequence[tuple[Document, str]]) -> dict[str, Document]:
        """Insert jobs of which no order is kept: those that are new, by their ids.

        Plain inserts, several times as fast as upserts by pipelines. They can't use `$$NOW`, so MongoDB's time is asked for.
        """
        now = self._source.now()
        inserted = {document["_id"]: self._at(now, document, by) for document, by in documents}
        try:
            with available():
                if len(inserted) == 1:
                    self._jobs.insert_one(next(iter(inserted.values())))
                else:
                    self._jobs.insert_many(list(inserted.values()), ordered=False)
        except DuplicateKeyError:  # of the one
            return {}
        except BulkWriteError as error:
            for fault in error.details["writeErrors"]:
                if fault["code"] != DUPLICATE_KEY:
                    raise
                del inserted[fault["op"]["_id"]]
        return inserted

    def _at(self, now: datetime, document: Document, by: str) -> Document:
        """A new job as `_insertion` makes it, at this time of MongoDB's."""
        if document["status"] == Status.SCHEDULED.value and document["not_before"] <= now:  # its time is there
            document = document | {"status": Status.QUEUED.value, "not_before": None}
        made = document | {"created_at": now, "history": [{"at": now, "verb": "submit", "attempt": 0}]}
        if document["status"] != Status.SCHEDULED.value:
            made["dispatch"] = {"n": 1, "by": by, "until": now + timedelta(seconds=self._pace.dispatch), "at": now}
        if isinstance(lasting := document["expires_at"], timedelta):
            made["expires_at"] = max(now, document["not_before"] or now) + lasting
        return made

    def _insert_in_order(self, kind: str, group: str, documents: Sequence[tuple[Document, str]]) -> None:
        def write(session: ClientSession, seq: int) -> None:
            numbered = [(made | {"seq": seq + place}, by) for place, (made, by) in enumerate(documents)]
            updates = [UpdateOne({"_id": made["_id"]}, self._insertion(made, by), upsert=True) for made, by in numbered]
            with available():
                self._jobs.bulk_write(updates, session=session)

        self._ordering.append(kind, group, len(documents), write)

    @property
    def _ordering(self) -> Ordering:
        return Ordering(self._source, self._pace)

    def _insertion(self, document: Document, by: str) -> list[Document]:
        """An `expires_at` that is a timedelta counts from when the job may start."""
        computed: Document = {"created_at": NOW, "history": [{"at": NOW, "verb": "submit", "attempt": 0}]}
        if document["status"] != Status.SCHEDULED.value:
            computed["dispatch"] = self._dispatched(1, by)
        if isinstance(lasting := document["expires_at"], timedelta):
            may_start = {"$max": [NOW, literal(document["not_before"])]}
            computed["expires_at"] = {"$add": [may_start, round(lasting.total_seconds() * 1000)]}
        return new_or_kept({name: value for name, value in document.items() if name not in computed}, **computed)

    def mark_sent(self, sent: Mapping[str, str], *, n: int) -> None:
        """Name the messages (`{job id: message id}`) of dispatch `n`, where the job is still waiting under it.

        A job that was claimed and given up meanwhile has let that message go, though no other was sent yet.
        """
        ids = [*sent]
        jobs = self._jobs.with_options(write_concern=WriteConcern(w=1))  # nobody waits for the journal: a name that is lost
        for place in range(0, len(ids), MOST):  # with its server costs a copy of the message
            named = ids[place : place + MOST]
            message_id = of_each("$_id", named, [sent[job_id] for job_id in named])
            is_ours: Document = {"_id": {"$in": named}, "dispatch.n": n, "dispatch.by": {"$ne": None}, "lease": None}
            guard = self._guard("mark_sent", is_ours)
            with available():
                jobs.update_many(guard, [{"$set": self._changes("mark_sent", {"message_id": message_id})}], hint=BY_ID)

    # -- under a lease

    def renew(self, tokens: Sequence[str]) -> None:
        """Prolong the leases with these tokens."""
        with available():
            self._jobs.update_many(
                self._guard("renew", {"lease.token": {"$in": list(tokens)}}),
                [{"$set": {"lease.expires_at": later(self._pace.lease)}}],
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

    def fail(self, job_id: str, token: str, *, code: str, message: str, retryable: bool) -> bool:
        """End the job as failed; its dead letter is pending."""
        return self._holds(
            "fail",
            job_id,
            token,
            {
                "error": error_entry(code, message, retryable),
                "lease": None,
                "effects": dead_lettered(f"{code}: {message}"),
            },
            note=noted(code),
        )

    def retry_later(
        self, job_id: str, token: str, *, seconds: float, code: str, message: str, keeps_message: bool = True
    ) -> bool:
        """End the attempt; the next may start in so many seconds. Asked to cancel, the job is cancelled instead.

        With `keeps_message` the named message comes again then; without, it is let go and a new one must follow.
        """
        changes: Document = {"error": error_entry(code, message, True), "not_before": later(seconds)}
        if not keeps_message:
            changes |= {"message_id": None, "dispatch": UNDISPATCHED}
        return self._leave("retry_later", job_id, token, changes, note=noted(code) | {"seconds": seconds})

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
                "dispatch": UNDISPATCHED,
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
                "dispatch": UNDISPATCHED,
            },
        )

    # -- by its user, or by time

    def request_cancel(self, job_id: str, user_id: str, *, operator: str | None = None) -> Job | None:
        """Ask for the end of an open job: at once where nobody runs it, else by whoever does. None: it is over already.

        Its history names the `operator`.
        """
        is_running = {"$eq": ["$status", Status.PROCESSING.value]}
        return self._write(
            "request_cancel",
            {"_id": job_id, "user_id": user_id},
            {
                "cancel_requested": {"$ifNull": ["$cancel_requested", NOW]},
                "status": {"$cond": [is_running, "$status", Status.CANCELLED.value]},
                "finished_at": {"$cond": [is_running, None, NOW]},
                "error": {"$cond": [is_running, "$error", CANCELLED_ERROR]},
                "effects": {"$cond": [is_running, "$effects", generation_cancelled()]},
            },
            note={"by": literal(operator)} if operator else None,
        )

    def cancel(self, job_id: str, token: str | None) -> bool:
        """End a job whose cancel was asked for: under its lease, or (no token) where no live lease stands."""
        if token is not None:
            guard = {"_id": job_id, "lease.token": token}
        else:
            is_free = {"$or": [{"$eq": ["$lease", None]}, {"$and": LOST_LEASE}]}
            guard = {"_id": job_id, **expr({"$and": [WANTS_CANCEL, is_free]})}
        changes: Document = {"error": CANCELLED_ERROR, "lease": None, "effects": generation_cancelled()}
        return self._write("cancel", guard, changes) is not None

    def expire(self, job_id: str) -> bool:
        """End a job that never started and whose time is over."""
        guard = {"_id": job_id, "started_at": None, "expires_at": {"$ne": None}, **expr({"$lte": ["$expires_at", NOW]})}
        error = error_entry("expired", "The job did not start in the time it was given.", False)
        return self._write("expire", guard, {"error": error}) is not None

    def recover(self, job_id: str) -> Job | None:
        """Make a job whose lease ran out wait again: a crash counted, the attempt given back; a fresh message must follow.

        Asked to cancel, the job is cancelled instead. Not for a job whose crashes are used up: `give_up` ends that.
        """
        return self._write(
            "recover",
            {"_id": job_id, **expr({"$and": [*LOST_LEASE, {"$or": [WANTS_CANCEL, SURVIVES_A_CRASH]}]})},
            self._left("recover")
            | {
                "attempts": {"$subtract": ["$attempts", 1]},
                "crashes": {"$add": ["$crashes", 1]},
                "message_id": None,
                "dispatch": UNDISPATCHED,
            },
        )

    def give_up(self, job_id: str) -> bool:
        """End a job that can't start any more: its attempts are used up, or the fifth lease ran out."""
        is_exhausted = {"$and": [{"$in": ["$status", names(WAITING)]}, {"$gte": ["$attempts", "$max_attempts"]}]}
        is_crashing = {"$and": [*LOST_LEASE, {"$not": [SURVIVES_A_CRASH]}]}
        exhausted, crashing = AttemptsExhausted(), WorkerLost(f"Each of the {MOST_CRASHES} workers that ran this job died.")
        changes: Document = {
            "error": {
                "$cond": [is_crashing, *(error_entry(each.code, str(each), False) for each in (crashing, exhausted))],
            },
            "crashes": {"$add": ["$crashes", {"$cond": [is_crashing, 1, 0]}]},
            "lease": None,
            "effects": {
                "$cond": [is_crashing, *(dead_lettered(f"{each.code}: {each}") for each in (crashing, exhausted))],
            },
        }
        return self._write("give_up", {"_id": job_id, **expr({"$or": [is_exhausted, is_crashing]})}, changes) is not None

    def forget_message(self, job_id: str, message_id: str) -> bool:
        """Name no message any more, where the job names this one: it will not come again, and another must follow."""
        changes: Document = {"message_id": None, "dispatch": UNDISPATCHED}
        return self._write("forget_message", {"_id": job_id, "message_id": message_id}, changes) is not None

    # -- after the end

    def requeue(self, job_id: str, *, by: str, failed_at: datetime | None = None, operator: str | None = None) -> Job | None:
        """Start the job over: its attempts are new, its dispatch is taken by `by`, who must send the message.

        With `failed_at` only if it failed then, and nothing was done about it since. Its history names the `operator`.
        Where an order is kept, it is the last of its group now.
        """
        guard = {"_id": job_id, **({} if failed_at is None else _failed(failed_at))}
        note = {"by": literal(operator)} if operator else None
        changes: Document = {
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
            "dispatch": self._dispatched({"$add": ["$dispatch.n", 1]}, by),
            "effects": {"$filter": {"input": "$effects", "cond": {"$ne": ["$$this.does", "dead_letter"]}}},
            # what was paid for is gone on with; a cancelled generation is gone at the provider too
            "checkpoint": {"$cond": [{"$eq": ["$status", Status.CANCELLED.value]}, literal({}), "$checkpoint"]},
        }
        with available():
            known = self._jobs.find_one({"_id": job_id, "group": {"$ne": None}}, {"kind": 1, "group": 1})
        if known is None:
            return self._write("requeue", guard, changes, note)

        def write(session: ClientSession, seq: int) -> Job | None:
            return self._write("requeue", guard, changes | {"seq": seq}, note, session)

        return self._ordering.append(known["kind"], known["group"], 1, write)

    def dismiss(self, job_id: str, *, failed_at: datetime, operator: str) -> bool:
        """An operator drops the dead letters of a job that failed then. It stays failed, and its user can start it over."""
        changes: Document = {
            "error": {"$mergeObjects": ["$error", {"dropped": {"by": literal(operator), "at": NOW}}]},
            "effects": {"$filter": {"input": "$effects", "cond": {"$ne": ["$$this.does", "dead_letter"]}}},
        }
        guard = {"_id": job_id, **_failed(failed_at)}
        return self._write("dismiss", guard, changes, note={"by": literal(operator)}) is not None

    def effect_done(self, job_id: str, key: str, *, related_job: str | None = None) -> None:
        """Strike out an effect that was performed, and link the job that it brought about."""
        kept = {"$filter": {"input": "$effects", "cond": {"$ne": ["$$this.key", literal(key)]}}}
        related = {"$setUnion": ["$related_jobs", literal([related_job] if related_job else [])]}
        self._write("effect_done", {"_id": job_id, "effects.key": key}, {"effects": kept, "related_jobs": related})


def _failed(at: datetime) -> Document:
    """The guard of a job that failed at this time."""
    return {"status": Status.FAILED.value, "finished_at": at}


@cache
def store() -> JobStore:
    """The process's store."""
    return JobStore(database(), pace())
