"""What failed, and what lies in the dead-letter queues, as cases that can be grouped by their error and picked from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from jobs.database import AT_A_TIME, Document, available, database
from jobs.dead_letters import ABOUT_JOBS, DeadLetter, is_dropped
from jobs.life import Status
from queues.catalogue import KINDS

MALFORMED, UNKNOWN_JOB, UNTAKEN, SETTLED = "malformed", "unknown_job", "order_not_taken", "settled"
"""Codes of letters that are not about a failed job."""
SHOWN_CHARACTERS = 300

REMEDIES = {
    "invalid_payload": "The order is at fault: its user corrects it and submits it again. Drop it.",
    "provider_refused": "The provider refuses this order: its user changes it and submits it again. Drop it.",
    "worker_lost": "Its workers died with it: see what they logged last. Redrive one of them first.",
    "timed_out": "It ran longer than its kind may. Redrive it once the provider is faster, or raise max_seconds.",
    "spending_limit": "Raise the limit, or wait for its next period; then redrive.",
    "internal": "The fault is ours: its traceback is in the log, by the job's id. Redrive once it is corrected.",
    MALFORMED: "Its sender corrects it and sends it again. Drop it.",
    UNKNOWN_JOB: "No job has its id: was it deleted, or is MONGODB_DATABASE another one? Drop it if nobody misses it.",
    UNTAKEN: "Nobody found a fault with this order, but its workers died with it. Redrive it with --malformed.",
    SETTLED: "Nothing to do: its job has got on without it. Redriving drops it, and so does the relay.",
}
REMEDY = "Redrive it once the cause is gone."

_VARYING = re.compile(
    r"\b[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"  # ids as UUIDs write them
    r"|\b(?=[0-9a-f]*\d)[0-9a-f]{12,}\b"  # and as jobs do
    r"|(?<![\d.])\d+\.\d+(?!\.?\d)"  # seconds, sizes; but not an address or a version
    r"|\b\d{4,}\b"  # ports, bytes
)


@dataclass(frozen=True)
class Case:
    """A failed job, a dead letter, or the two together."""

    kind: str
    code: str
    message: str
    at: datetime
    """When the job failed, or the letter's message was sent."""
    job_id: str | None = None
    """Of a failed job, or the one that the letter speaks of."""
    failed_at: datetime | None = None
    """When the job failed, for those that can start over."""
    letter: DeadLetter | None = None

    @property
    def group(self) -> tuple[str, str, str]:
        """What cases that have the same error have in common."""
        return self.kind, self.code, normalised(self.message)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which cases are meant. What is left out is no condition."""

    kinds: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    older_than: timedelta | None = None
    newer_than: timedelta | None = None
    message: str | None = None
    """The message of a group: only its cases."""
    job_id: str | None = None
    """Its failed job is meant even if its letters were dropped before."""

    @property
    def is_everything(self) -> bool:
        return self == Selection()

    def kinds_or_all(self) -> Iterable[str]:
        return self.kinds or KINDS

    def picks(self, case: Case, now: datetime) -> bool:
        """Whether a case of one of its kinds is meant, at MongoDB's time `now`."""
        age = now - case.at
        return (
            (not self.codes or case.code in self.codes)
            and (self.older_than is None or age >= self.older_than)
            and (self.newer_than is None or age <= self.newer_than)
            and (self.message is None or normalised(case.message) == self.message)
            and self.job_id in (None, case.job_id)
        )


@dataclass
class Group:
    """Cases of the same error. `message` is that of one of them, without what varies."""

    kind: str
    code: str
    message: str
    jobs: set[str] = field(default_factory=set)
    """The failed jobs."""
    letters: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None

    def add(self, case: Case) -> None:
        if case.failed_at is not None and case.job_id:
            self.jobs.add(case.job_id)
        self.letters += case.letter is not None
        self.oldest = min(self.oldest or case.at, case.at)
        self.newest = max(self.newest or case.at, case.at)

    @property
    def remedy(self) -> str:
        """What to do about it, in words."""
        return REMEDIES.get(self.code, REMEDY)


def case_of_letter(letter: DeadLetter, selection: Selection) -> Case:
    """What a dead letter is a case of."""
    job, said = letter.job, letter.said
    job_id = said.job_id if said else None
    if said is None:
        return Case(letter.kind, MALFORMED, letter.reason or letter.fault, letter.sent_at, letter=letter)
    if job is not None and letter.speaks_of_its_job:
        if job["status"] == Status.FAILED and (not is_dropped(job) or selection.job_id == job_id):
            return _failed(job, letter)
        how = "dropped" if is_dropped(job) else job["status"]
        return Case(letter.kind, SETTLED, f"its job is {how}", letter.sent_at, job_id, letter=letter)
    if said.order is not None:
        code, message = (MALFORMED, letter.reason) if letter.reason else (UNTAKEN, "an order that no worker took in")
        return Case(letter.kind, code, message, letter.sent_at, job_id, letter=letter)
    code = UNKNOWN_JOB if job is None else MALFORMED
    return Case(letter.kind, code, letter.reason or "no job has this id", letter.sent_at, job_id, letter=letter)


def failed_jobs(kind: str, selection: Selection, now: datetime) -> Iterator[Case]:
    """The failed jobs of a kind that are meant, the oldest failure first, whether they have a letter or not.

    Those that fail after `now` are not among them.
    """
    bounds: Document = {"$lte": now - (selection.older_than or timedelta())}
    if selection.newer_than is not None:
        bounds["$gte"] = now - selection.newer_than
    wanted: Document = {"kind": kind, "status": Status.FAILED.value, "finished_at": bounds}
    if selection.codes:
        wanted["error.code"] = {"$in": list(selection.codes)}
    wanted |= {"error.dropped": None} if selection.job_id is None else {"_id": selection.job_id}
    with available():
        found = database().collection("jobs").find(wanted, dict.fromkeys(ABOUT_JOBS, 1)).sort("finished_at", 1)
        for job in found.batch_size(AT_A_TIME):
            yield _failed(job)


def normalised(message: str) -> str:
    """A message without what varies from job to job: ids, sizes, times. So those of the same cause are alike."""
    return _VARYING.sub("…", message)[:SHOWN_CHARACTERS]


def _failed(job: Mapping[str, Any], letter: DeadLetter | None = None) -> Case:
    error = job["error"] or {"code": "internal", "message": "no error is recorded"}
    finished_at = job["finished_at"]
    return Case(job["kind"], error["code"], error["message"], finished_at, job["_id"], finished_at, letter)
