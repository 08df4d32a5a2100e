"""Submitting: insert the job, then send its message. A job is accepted once it is inserted; the relay makes up for the send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any, Literal
from uuid import uuid4

import structlog

from jobs import tally
from jobs.dispatch import process_name
from jobs.document import Document, Job, new_document
from jobs.errors import InvalidPayload
from jobs.gathering import Gathering
from jobs.life import Status
from jobs.sending import send
from jobs.store import store
from jobs.tracing import current, span
from queues.catalogue import kind_named
from queues.steps import Step, reached

log = structlog.get_logger()

Priority = Literal["normal", "high"]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a user wants done. `payload` is valid for its kind. With a `job_id` it becomes one job, however often given.

    With `run_at` it is sent no earlier; jobs that are done in order refuse that (`InvalidPayload`). With `expires_in_seconds`
    it must start within that time of when it may, or it expires.
    """

    kind: str
    payload: Mapping[str, Any]
    user_id: str
    provider: str | None = None
    model_id: str | None = None
    job_id: str | None = None
    priority: Priority = "normal"
    run_at: datetime | None = None
    expires_in_seconds: float | None = None
    expires_at: datetime | None = None
    """The same as a time; `expires_in_seconds` is the stronger."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What the sender wants to find with the job again."""
    callback_url: str | None = None
    """The web address that is told of the job's end."""
    idempotency_key: str | None = None
    """The sender's key, which the `job_id` was made from."""
    traceparent: str | None = None
    """The trace that it follows from; None: the one at hand."""

    def __post_init__(self) -> None:
        if self.run_at is not None and kind_named(self.kind).fifo:
            raise InvalidPayload(f"{self.kind} are done in the order of their submission: leave the time to start at out.")

    def document(self, job_id: str | None = None) -> Document:
        made = new_document(
            job_id=job_id or self.job_id or uuid4().hex,
            kind=self.kind,
            user_id=self.user_id,
            payload=self.payload,
            max_attempts=kind_named(self.kind).max_attempts,
            provider=self.provider,
            model_id=self.model_id,
            traceparent=current(),
            group=kind_named(self.kind).group_of(self.user_id),
        )
        made |= {
            "priority": self.priority,
            "metadata": dict(self.metadata),
            "callback": {"url": self.callback_url} if self.callback_url else None,
            "idempotency_key": self.idempotency_key,
        }
        if self.run_at is not None:
            made |= {"status": Status.SCHEDULED.value, "not_before": self.run_at}
        made["expires_at"] = self.expires_at
        if self.expires_in_seconds is not None:
            made["expires_at"] = timedelta(seconds=self.expires_in_seconds)
        return made


@dataclass(frozen=True)
class _New:
    """A job to insert, and who sends its message: of those who submit the same job at the same time, one."""

    document: Document
    by: str


def submit(order: Order, *, is_told: bool = False) -> Job:
    """Accept one job. With SQS away it is accepted all the same, its `message_id` None.

    Jobs that several threads submit at the same time are inserted and sent together. With `is_told` there is no line of log:
    the caller's own says it.

    Raises:
        DatabaseUnavailable: nothing was accepted, as far as we know.
    """
    job_id = order.job_id or uuid4().hex
    with span(f"submit {order.kind}", "producer", order.traceparent, job_id=job_id):
        new = _new(order, job_id)
        # those of an ordered kind are inserted in a transaction of their group, which is nobody else's affair
        job = _submissions.ask(new) if new.document["group"] is None else _insert_and_send([new])[0]
        if not is_told:
            log.info("job accepted", **job.log_context())
        return job


def submit_many(orders: Sequence[Order]) -> list[Job]:
    """Accept several jobs in few requests; the jobs in their order."""
    if not orders:
        return []
    with span(f"submit {len(orders)} jobs", "producer"):
        jobs = _insert_and_send([_new(order) for order in orders])
        log.info("jobs accepted", jobs=len(jobs), first=jobs[0].id, last=jobs[-1].id)
        return jobs


def _new(order: Order, job_id: str | None = None) -> _New:
    return _New(order.document(job_id), f"{process_name()}/{token_hex(4)}")


def _insert_and_send(new: Sequence[_New]) -> list[Job]:
    """Insert jobs, and send those whose dispatch is ours; the jobs with their messages."""
    jobs = store().insert_many([each.document for each in new], by=[each.by for each in new])
    tally.created(jobs)
    ours = [job for job, each in zip(jobs, new, strict=True) if job.dispatch["by"] == each.by]
    for job in ours:
        reached(Step.DISPATCHED, job.id)
    sent = send(ours)
    for queue, fault in sent.faults.items():
        log.warning("accepted without a message; the queue can't be reached", queue=queue, reason=str(fault))
    return sent.named(jobs)


TOGETHER_AT_ONCE = 2
"""Of the jobs that many threads submit, some are sent while the next are inserted."""

_submissions = Gathering(_insert_and_send, at_once=TOGETHER_AT_ONCE)

__all__ = ["Order", "Priority", "process_name", "submit", "submit_many"]
