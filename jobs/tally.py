"""What is counted of jobs, for the metrics: each at the one place where it happens, in the words of `jobs.counters`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from jobs.counters import add, count, observe
from jobs.document import Job
from jobs.life import Status
from queues.queue import Queue, Told


def created(jobs: Iterable[Job]) -> None:
    """Jobs were inserted. Those that were there already, ordered once more, have been written since, and count once."""
    for job in jobs:
        if job.version == 1:
            add("jobs_created", kind=job.kind)


def claimed(job: Job) -> None:
    """A worker has just taken the job: an attempt, or a crash of the worker that had it; the first time, also a start."""
    if is_taken_over(job):
        crashed(job.kind)
        return
    add("attempts", kind=job.kind)
    if job.started_at is not None and job.started_at == job.history[-1]["at"]:
        add("jobs_started", kind=job.kind)
        observe("job_wait_seconds", max(0, (job.started_at - due_at(job)).total_seconds()), kind=job.kind)


def is_taken_over(job: Job) -> bool:
    """Whether the claim that has just been made took the job from a worker whose lease had run out."""
    return job.crashes > 0 and len(job.history) > 1 and job.history[-2]["verb"] == "claim"


def due_at(job: Job) -> datetime:
    """Since when a job that has just started could have. A time to start is seen by the dispatch that it waited for."""
    if job.dispatch["n"] == 1 and job.dispatch["at"] is not None:
        at: datetime = job.dispatch["at"]
        return at
    ordered: list[datetime] = [entry["at"] for entry in job.history if entry["verb"] in {"submit", "requeue"}]
    return ordered[-1] if ordered else job.created_at


def completed(kind: str, run_seconds: float) -> None:
    """A job is done; its last attempt took so long."""
    add("jobs_completed", kind=kind)
    observe("job_run_seconds", run_seconds, kind=kind)


def failed(kind: str) -> None:
    """A job has failed for good."""
    add("jobs_failed", kind=kind)


def attempt_failed(kind: str, run_seconds: float) -> None:
    """An attempt failed after so long, for good or not."""
    observe("job_run_seconds", run_seconds, kind=kind)


def crashed(kind: str) -> None:
    """A worker died with a job of this kind."""
    count("crashes", kind=kind)


def lease_lost(kind: str) -> None:
    """What an attempt made, or how it ended, counts no more: its lease was gone."""
    count("leases_lost", kind=kind)


def given_up(job: Job) -> None:
    """A job that could not start any more, as it was found, was ended as failed."""
    failed(job.kind)
    if job.status is Status.PROCESSING:  # the fifth worker died with it
        crashed(job.kind)


def messages(what: Told, queue: Queue, n: int) -> None:
    """So many messages went through a queue, by whichever process of ours."""
    assert queue.kind is not None
    match what:
        case "sent":
            add("messages_sent", n, queue=queue.kind, lane=queue.lane)
        case "received":
            add("messages_received", n, queue=queue.kind, lane=queue.lane)
        case "deleted":
            add("messages_deleted", n, queue=queue.kind, lane=queue.lane)


Queue.tell = staticmethod(messages)
