"""Checks of those who work: relays and workers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from cli.doctoring.findings import Fault
from cli.doctoring.subject import Subject
from cli.output import counted
from jobs.database import database
from jobs.dispatch import dispatches
from jobs.document import Job
from jobs.expressions import NOW, expr
from jobs.pace import pace
from jobs.pauses import pauses
from jobs.workers import WorkerDocument, workers
from queues.catalogue import KINDS

MOST_COUNTED = 1_000
ROUNDS = 3
"""A relay silent for so many rounds is stuck."""


def relays_work(subject: Subject) -> Iterator[Fault]:
    """Some relay makes its rounds for each kind, in a process of its own or in a worker, and nothing waits to be sent."""
    remedy = "Start one: celery -A tasks relay. If one runs, see its log, and start it again."
    late = 2 * pace().round
    now = _now()
    for kind in KINDS:
        unsent = [job for job in dispatches().unsent(kind, MOST_COUNTED) if (now - _sendable_since(job)).total_seconds() > late]
        if unsent:
            yield Fault(f"{counted(len(unsent), 'job')} of {kind} should have been sent more than {late:.0f} s ago.", remedy)
    found = [*database().collection("relays").aggregate([{"$set": {"silent": _seconds_since("$at")}}])]
    for kind in KINDS:
        silences = [each["silent"] for each in found if kind in each.get("kinds", [])]
        if not silences:
            yield Fault(f"no relay has looked after {kind} yet.", remedy)
        elif min(silences) > ROUNDS * pace().round:
            yield Fault(f"no relay has looked after {kind} for {min(silences):.0f} s.", remedy)


def _sendable_since(job: Job) -> datetime:
    """When the job became due and nobody's to send."""
    times: list[datetime | None] = [job.created_at, job.not_before, job.dispatch.get("until")]
    return max(time for time in times if time is not None)


def workers_receive(subject: Subject) -> Iterator[Fault]:
    """Every kind with jobs that wait has a worker, and every worker asks its queues."""
    running, paused = workers(), pauses().known()
    for kind in KINDS:
        waiting = _waiting(kind)
        if waiting and not any(kind in worker.kinds for worker in running):
            yield Fault(
                f"no worker receives {kind}, and {counted(waiting, 'job')} {'waits' if waiting == 1 else 'wait'}.",
                f"celery -A tasks worker -Q {kind}",
            )
    for worker in running:
        for kind, seconds in _silences(worker).items():
            if kind not in paused and worker.running < worker.slots and seconds > pace().alive:
                yield Fault(f"{worker.name} has not asked the queue of {kind} for {seconds:.0f} s.", "Start it again.")


def _silences(worker: WorkerDocument) -> dict[str, float]:
    return {kind: (worker.read_at - at).total_seconds() for kind, at in worker.last_attempt.items()}


def _waiting(kind: str) -> int:
    """Jobs that could start now."""
    wanted = {"kind": kind, "status": {"$in": ["queued", "retrying"]}, "waiting_for": None}
    is_due = expr({"$or": [{"$eq": ["$not_before", None]}, {"$lte": ["$not_before", NOW]}]})
    return database().collection("jobs").count_documents(wanted | is_due)


def _seconds_since(field: str) -> dict[str, Any]:
    return {"$divide": [{"$subtract": [NOW, field]}, 1_000]}


def _now() -> datetime:
    """MongoDB's."""
    source = database().collection("jobs").database
    at: datetime = next(source.aggregate([{"$documents": [{"at": NOW}]}]))["at"]
    return at
