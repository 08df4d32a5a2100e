"""Submitting: insert the job, then send its message. A job is accepted once it is inserted; the send may be made up for."""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from uuid import uuid4

import structlog

from jobs.database import DatabaseUnavailable
from jobs.document import Document, Job, new_document
from jobs.store import store
from queues.catalogue import kind_named
from queues.clients import QueueError
from queues.queue import Outgoing, in_tens, queue_for
from queues.wire import JobMessage, attributes

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a user wants done. `payload` is valid for its kind. With a `job_id` it becomes one job, however often given."""

    kind: str
    payload: Mapping[str, Any]
    user_id: str
    provider: str | None = None
    model_id: str | None = None
    job_id: str | None = None

    def document(self) -> Document:
        return new_document(
            job_id=self.job_id or uuid4().hex,
            kind=self.kind,
            user_id=self.user_id,
            payload=self.payload,
            max_attempts=kind_named(self.kind).max_attempts,
            provider=self.provider,
            model_id=self.model_id,
        )


@cache
def process_name() -> str:
    """Who dispatches, as jobs record it."""
    return f"{socket.gethostname()}:{os.getpid()}"


def submit(order: Order) -> Job:
    """Accept one job. With SQS away it is accepted all the same, its `message_id` None.

    Raises:
        DatabaseUnavailable: nothing was accepted, as far as we know.
    """
    job = store().insert(order.document(), by=process_name())
    return _send([job])[0]


def submit_many(orders: Sequence[Order]) -> list[Job]:
    """Accept several jobs in few requests; the jobs in their order."""
    if not orders:
        return []
    jobs = store().insert_many([order.document() for order in orders], by=process_name())
    return _send(jobs)


def _send(jobs: list[Job]) -> list[Job]:
    """Send the messages of jobs whose dispatch is ours; the jobs with their message ids."""
    sent: dict[str, str] = {}
    by_kind: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        log.info("job accepted", **job.log_context())
        if job.message_id is None and job.dispatch["n"] == 1:
            by_kind[job.kind].append(job)
    for kind, unsent in by_kind.items():
        try:
            sent |= _send_messages(kind, unsent)
        except QueueError as error:
            log.warning("accepted without a message; the queue can't be reached", kind=kind, reason=str(error))
    try:
        store().mark_sent(sent, n=1)
    except DatabaseUnavailable as error:  # the jobs are recorded and sent; a claim names their messages
        log.warning("accepted, the messages not named", jobs=len(sent), reason=str(error))
    return [replace(job, message_id=sent.get(job.id, job.message_id)) for job in jobs]


def _send_messages(kind: str, jobs: Sequence[Job]) -> dict[str, str]:
    queue = queue_for(kind)
    if len(jobs) == 1:
        return {jobs[0].id: queue.send(_message(jobs[0]))}
    sent: dict[str, str] = {}
    for chunk in in_tens(jobs):
        ids = queue.send_batch([_message(job) for job in chunk])
        sent |= {job.id: message_id for job, message_id in zip(chunk, ids, strict=True) if message_id}
    return sent


def _message(job: Job) -> Outgoing:
    return Outgoing(JobMessage(job.id, job.user_id, job.kind).body(), attributes(job.kind, job.priority))
