"""The two writes that every job makes: the claim, and the completion. Those of many threads are made in one request.

An update of eight jobs costs MongoDB a quarter of eight updates, and the worker less still; each job's condition is its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.database import Database, Document, available
from jobs.document import Job
from jobs.expressions import NOW, expr, later, literal
from jobs.gathering import Gathering
from jobs.life import MOST_CRASHES, WAITING, Status
from jobs.pace import Pace
from jobs.verbs import BY_ID, Verbs, names

LOST_LEASE: list[Document] = [
    {"$eq": ["$status", Status.PROCESSING.value]},
    {"$lte": ["$lease.expires_at", NOW]},
]
SURVIVES_A_CRASH: Document = {"$lt": [{"$add": ["$crashes", 1]}, MOST_CRASHES]}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One worker's wish for one job."""

    job_id: str
    kind: str
    token: str
    worker: str
    message_id: str | None
    takes_over: bool
    seq: int | None = None


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One attempt's outcome."""

    job_id: str
    token: str
    result: Mapping[str, Any]
    usage: Mapping[str, Any]
    effects: Sequence[Mapping[str, Any]]
    related_jobs: Sequence[str]


class StartAndEnd(Verbs):
    """`claim` and `complete`."""

    def __init__(self, source: Database, pace: Pace) -> None:
        super().__init__(source, pace)
        self._claims = Gathering(self._claim_all)
        self._completions = Gathering(self._complete_all)

    def claim(
        self,
        job_id: str,
        *,
        kind: str,
        token: str,
        worker: str,
        message_id: str | None,
        takes_over: bool = True,
        seq: int | None = None,
    ) -> Job | None:
        """Take the job, if it is of this kind, under a lease with this token, or None. Where an order is kept, under its `seq`.

        Counts an attempt where the job was waiting, a crash where another's lease had run out (only with `takes_over`).
        Repeating a claim with its token changes nothing more.
        """
        return self._claims.ask(
            Claim(
                job_id=job_id,
                kind=kind,
                token=token,
                worker=worker,
                message_id=message_id,
                takes_over=takes_over,
                seq=seq,
            )
        )

    def claim_many(self, claims: Sequence[Claim]) -> list[Job | None]:
        """Make several claims in few requests, each as `claim` does; the jobs in their order."""
        return self._claim_all(claims)

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
        """Record the result and what must follow from it, in one write. False: the token was lost.

        Repeating it with its token changes nothing more, and answers the same.
        """
        return self._completions.ask(
            Completion(job_id=job_id, token=token, result=result, usage=usage, effects=effects, related_jobs=related_jobs)
        )

    def _claim_all(self, claims: Sequence[Claim]) -> list[Job | None]:
        alike: dict[tuple[str, bool, int | None], list[Claim]] = defaultdict(list)
        for claim in claims:
            alike[claim.kind, claim.takes_over, claim.seq].append(claim)
        claimed: dict[str, Job] = {}
        for those in alike.values():
            for job in self._claim_alike(those):
                assert job.lease is not None
                claimed[job.lease.token] = job
        return [claimed.get(claim.token) for claim in claims]

    def _claim_alike(self, claims: list[Claim]) -> list[Job]:
        """The jobs claimed, of these claims of a kind. Where two want the same job, the first gets it.

        Nearly every claim is of a job that waits, so that is tried first, by itself: one write for all cases takes MongoDB
        a sixth longer.
        """
        claimed = self._start(claims)
        tokens = {job.lease.token for job in claimed if job.lease is not None}
        if missed := [claim for claim in claims if claim.token not in tokens]:
            claimed += self._go_on(missed)
        return claimed

    def _start(self, claims: list[Claim]) -> list[Job]:
        """Begin an attempt of the jobs that wait, and may start."""
        is_due = {"$lte": [{"$ifNull": ["$not_before", NOW]}, NOW]}
        is_in_time = {"$or": [{"$ne": ["$started_at", None]}, {"$gt": [{"$ifNull": ["$expires_at", later(1)]}, NOW]}]}
        guard = {
            "status": {"$in": names(WAITING)},
            "cancel_requested": None,
            **expr({"$and": [is_due, is_in_time, {"$lt": ["$attempts", "$max_attempts"]}]}),
        }
        changes = {"attempts": {"$add": ["$attempts", 1]}, "started_at": {"$ifNull": ["$started_at", NOW]}}
        return self._take(claims, guard, changes)

    def _go_on(self, claims: list[Claim]) -> list[Job]:
        """Take the jobs over whose lease ran out; those that are claimed with the same token already are left as they are."""
        token = of_each("$_id", [claim.job_id for claim in claims], [claim.token for claim in claims])
        is_ours = {"$eq": ["$lease.token", token]}
        is_lost = {"$and": [{"$eq": ["$cancel_requested", None]}, *LOST_LEASE, SURVIVES_A_CRASH]}
        guard = {
            "status": Status.PROCESSING.value,
            **expr({"$or": [is_ours, is_lost]} if claims[0].takes_over else is_ours),
        }
        return self._take(claims, guard, {"crashes": {"$add": ["$crashes", {"$cond": [is_ours, 0, 1]}]}})

    def _take(self, claims: list[Claim], guard: Document, changes: Document) -> list[Job]:
        """Put the jobs of these claims that fit `guard` under their leases."""
        ids = [claim.job_id for claim in claims]

        def each(values: list[Any]) -> Document:
            return of_each("$_id", ids, values)

        tokens = [claim.token for claim in claims]
        worker = each([claim.worker for claim in claims])
        guard = guard | {"kind": claims[0].kind, "seq": claims[0].seq}
        changes = changes | {
            "lease": {"token": each(tokens), "worker": worker, "expires_at": later(self._pace.lease)},
            "message_id": {"$ifNull": [each([claim.message_id for claim in claims]), "$message_id"]},
            "dispatch": {"again": 0},  # it was heard of; the rest of the dispatch stays
            "not_before": None,
            "waiting_for": None,
            "progress": {"stage": "Started"},  # the percentage stays
        }
        note = {"worker": worker}
        if len(claims) == 1:
            claimed = self._write_once("claim", guard | {"_id": ids[0]}, changes, note)
            return [claimed] if claimed else []
        with available():
            self._jobs.update_many(guard | {"_id": {"$in": ids}}, self._pipeline("claim", changes, note), hint=BY_ID)
            found = self._jobs.find({"_id": {"$in": ids}, "lease.token": {"$in": tokens}}, hint=BY_ID)
            return [Job.from_document(document) for document in found]

    def _complete_all(self, completions: Sequence[Completion]) -> list[bool]:
        tokens = [done.token for done in completions]

        def each(values: list[Any]) -> Document:
            return of_each("$lease.token", tokens, values)

        changes = {
            "result": each([dict(done.result) for done in completions]),
            "usage": each([dict(done.usage) for done in completions]),
            "effects": {"$concatArrays": ["$effects", each([[*map(dict, done.effects)] for done in completions])]},
            "related_jobs": {"$setUnion": ["$related_jobs", each([[*done.related_jobs] for done in completions])]},
            "progress": {"percent": 100, "stage": "Done"},
            "error": None,
            "lease": None,
            "checkpoint": literal({}),
            "completed_under": "$lease.token",
        }
        ids = [done.job_id for done in completions]
        guard = self._guard("complete", {"_id": {"$in": ids}, "lease.token": {"$in": tokens}})
        with available():
            written = self._jobs.update_many(guard, self._pipeline("complete", changes, None), hint=BY_ID).matched_count
            if written == len(completions):
                return [True] * written
            is_completed = {"_id": {"$in": ids}, "status": Status.COMPLETED.value, "completed_under": {"$in": tokens}}
            completed = {job["completed_under"] for job in self._jobs.find(is_completed, {"completed_under": 1})}
        return [token in completed for token in tokens]


def of_each(key: str, keys: list[str], values: list[Any]) -> Document:
    """In an update of several jobs, the value of the one whose field `key` is the key of the value."""
    if len(keys) == 1:
        return literal(values[0])
    return {"$arrayElemAt": [literal(values), {"$indexOfArray": [literal(keys), key]}]}
