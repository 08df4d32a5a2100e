"""The ritual around every handler: claim ▸ run ▸ record ▸ acknowledge. A kind's module holds only what is particular to it.

Order of writes: content and files under the lease token's name, then the job, then SQS. A kill between two of them leaves a
message that comes again, and a job that says what it is worth then.
"""

from __future__ import annotations

import random
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import uuid4

import structlog
from celery import Task
from celery.exceptions import Ignore, Retry
from pydantic import ValidationError

from jobs import delivery as table
from jobs.database import DatabaseUnavailable
from jobs.document import Job
from jobs.effects import perform_pending
from jobs.errors import AttemptsExhausted, Cancelled, InvalidPayload, JobError, LeaseLost, Permanent
from jobs.store import store
from providers.choice import provider_named
from queues.catalogue import Kind
from queues.clients import QueueError
from queues.deliveries import Delete, Delivery, Leave, Settlement, Visible, deliveries
from queues.queue import Outgoing, dead_letters_of
from tasks.beat import Hold, beat
from tasks.run import Run

if TYPE_CHECKING:
    from providers.requests import Payload
    from tasks.results import Result

log = structlog.get_logger()

DATABASE_AWAY_SECONDS = 5
"""When a message comes again that found MongoDB away."""


class JobTask(Task):
    """The base of every kind's task. Its one argument is the job's id; `run` is the handler."""

    abstract = True
    acks_late = True
    ignore_result = True
    throws = (JobError,)

    kind: Kind
    payload: type[Payload]

    def __call__(self, job_id: str) -> str:
        delivery = deliveries().get(self.request.properties["delivery_tag"])
        if delivery is None:  # settled since: nothing is ours any more
            raise Ignore
        token = uuid4().hex
        try:
            job = store().claim(job_id, token=token, worker=self.request.hostname, message_id=delivery.message.message_id)
            if job is None:
                delivery.settlement = _unclaimed(job_id, delivery)
                raise Ignore
        except DatabaseUnavailable as error:
            log.warning("MongoDB is away; the message comes again", job_id=job_id, reason=str(error))
            delivery.settlement = Visible(DATABASE_AWAY_SECONDS)
            raise Ignore from None
        with structlog.contextvars.bound_contextvars(**job.log_context()), beat().keeping(token) as hold:
            return self._attempt(job, hold, delivery)

    def _attempt(self, job: Job, hold: Hold, delivery: Delivery) -> str:
        log.info("job started", worker=self.request.hostname)
        run = Run(job, hold)
        try:
            result: Result = self.run(run, self._read_payload(job))
            run.check()
            self._record(job, run, result)
        except LeaseLost:
            log.warning("the lease was lost; what this attempt made is discarded")
            raise Ignore from None
        except Cancelled as error:
            self._cancelled(job, run, error)
        except Permanent as error:
            self._failed(job, hold, error)
        except DatabaseUnavailable as error:
            log.warning(
                "MongoDB went away in the middle of the job; it starts again once its lease has ended", reason=str(error)
            )
            delivery.settlement = Leave()
            raise Ignore from None
        except JobError as error:
            self._retry(job, hold, delivery, error)
        except Exception as error:
            log.exception("the handler broke")
            self._retry(job, hold, delivery, JobError(str(error) and None))
        finally:
            run.close()
        log.info("job completed")
        return "completed"

    def _read_payload(self, job: Job) -> Payload:
        try:
            return self.payload.model_validate(dict(job.payload))
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            raise InvalidPayload(f"The job's payload is not what {job.kind} needs: {faults}") from None

    def _record(self, job: Job, run: Run, result: Result) -> None:
        kept = result.keep(job)
        recorded = store().complete(
            job.id,
            _token(job),
            result=kept,
            usage=asdict(result.usage),
            effects=run.follow_ups,
            related_jobs=[effect["job_id"] for effect in run.follow_ups],
        )
        if not recorded:
            raise LeaseLost
        if run.follow_ups and (completed := store().get(job.id)):
            perform_pending(completed)

    def _cancelled(self, job: Job, run: Run, error: Cancelled) -> NoReturn:
        provider_named(job.provider).cancel(run.checkpoint)
        if store().cancel(job.id, _token(job)):
            log.info("job cancelled")
        raise Ignore from error

    def _failed(self, job: Job, hold: Hold, error: Permanent) -> NoReturn:
        if not store().fail(job.id, hold.token, code=error.code, message=str(error), retryable=False):
            raise Ignore from error
        log.warning("job failed", code=error.code, reason=str(error))
        raise error

    def _retry(self, job: Job, hold: Hold, delivery: Delivery, error: JobError) -> NoReturn:
        if job.attempts >= job.max_attempts:
            self._failed(job, hold, AttemptsExhausted(f"All {job.max_attempts} attempts failed. The last one: {error}"))
        seconds = self._wait_seconds(job, error)
        if not store().retry_later(job.id, hold.token, seconds=seconds, code=error.code, message=str(error)):
            raise Ignore from error
        log.warning("attempt failed; the job is tried again", code=error.code, reason=str(error), seconds=seconds)
        delivery.settlement = Visible(seconds)
        raise Retry(str(error), exc=error, when=seconds)

    def _wait_seconds(self, job: Job, error: JobError) -> int:
        """Exponential with full jitter, or what the service asked for."""
        if error.retry_after_seconds is not None:
            return max(1, round(error.retry_after_seconds))
        longest = min(self.kind.backoff_seconds * 2 ** (job.attempts - 1), self.kind.backoff_most_seconds)
        return max(1, round(random.uniform(0, longest)))


def _token(job: Job) -> str:
    assert job.lease is not None  # it was claimed
    return job.lease.token


def _unclaimed(job_id: str, delivery: Delivery) -> Settlement:
    job, now = store().look(job_id)
    match table.answer(job, now, delivery.message.message_id):
        case table.ComeAgain(seconds):
            return Visible(seconds)
        case table.SetAside(reason):
            return _set_aside(delivery, reason)
        case _:
            log.info("a message had nothing to say any more", job_id=job_id, status=job and job.status.value)
            return Delete()


def _set_aside(delivery: Delivery, reason: str) -> Settlement:
    attributes: dict[str, Any] = {"Reason": {"DataType": "String", "StringValue": reason}}
    try:
        dead_letters_of(delivery.job.kind).send(Outgoing(delivery.message.body, attributes))
    except QueueError as error:
        log.warning("a message could not be set aside; it comes again", job_id=delivery.job.job_id, reason=str(error))
        return Leave()
    log.error("message set aside", job_id=delivery.job.job_id, reason=reason)
    return Delete()
