"""The ritual around every handler: claim ▸ run ▸ record ▸ acknowledge. A kind's module holds only what is particular to it.

Order of writes: content and files under the lease token's name, then the job, then SQS. A kill between two of them leaves a
message that comes again, and a job that says what it is worth then.
"""

from __future__ import annotations

import random
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import structlog
from celery import Task
from celery.exceptions import Ignore, Retry
from pydantic import ValidationError

from jobs import delivery as table
from jobs.database import DatabaseUnavailable
from jobs.document import Job
from jobs.effects import perform_pending
from jobs.errors import AttemptsExhausted, Cancelled, InvalidPayload, JobError, LeaseLost
from jobs.store import store
from queues.catalogue import Kind
from queues.clients import QueueError
from queues.deliveries import Delete, Delivery, Leave, Settlement, Visible, deliveries
from queues.queue import Outgoing, dead_letters_of
from tasks.beat import beat
from tasks.run import Run

if TYPE_CHECKING:
    from providers.requests import Payload
    from tasks.results import Result

log = structlog.get_logger()


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
        if delivery is None:  # let go of since: nothing is ours any more
            raise Ignore
        try:
            return self._deliver(job_id, delivery)
        except LeaseLost:
            log.warning("the lease was lost; what this attempt made is discarded", job_id=job_id)
        except DatabaseUnavailable as error:
            log.warning("MongoDB is away; the message comes again", job_id=job_id, reason=str(error))
        raise Ignore

    def _deliver(self, job_id: str, delivery: Delivery) -> str:
        token = uuid4().hex
        message_id = delivery.message.message_id
        job = store().claim(job_id, kind=self.kind.name, token=token, worker=self.request.hostname, message_id=message_id)
        if job is None:
            delivery.settlement = self._unclaimed(job_id, delivery)
            raise Ignore
        with structlog.contextvars.bound_contextvars(**job.log_context()), beat().keeping(token) as hold:
            return self._attempt(Run(job, hold), delivery)

    def _attempt(self, run: Run, delivery: Delivery) -> str:
        log.info("job started", worker=self.request.hostname)
        try:
            result: Result = self.run(run, self._read_payload(run.job))
            run.check()
            self._record(run, result)
        except Cancelled:
            self._cancel(run)
            delivery.settlement = Delete()
            raise Ignore from None
        except (LeaseLost, DatabaseUnavailable):
            raise
        except Exception as error:
            reason = _as_job_error(error)
            delivery.settlement = self._conclude(run, reason)
            if isinstance(delivery.settlement, Visible):
                raise Retry(str(reason), exc=reason, when=delivery.settlement.seconds) from error
            raise reason from error.__cause__
        finally:
            run.close()
        log.info("job completed")
        delivery.settlement = Delete()
        return "completed"

    def _read_payload(self, job: Job) -> Payload:
        try:
            return self.payload.model_validate(dict(job.payload))
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            raise InvalidPayload(f"The job's payload is not what {job.kind} needs: {faults}") from None

    def _record(self, run: Run, result: Result) -> None:
        job = run.job
        kept = result.keep(job)
        recorded = store().complete(
            job.id,
            run.token,
            result=kept,
            usage=asdict(result.usage),
            effects=run.follow_ups,
            related_jobs=[effect["job_id"] for effect in run.follow_ups],
        )
        _unless_lost(recorded)
        if run.follow_ups and (completed := store().get(job.id)):
            perform_pending(completed)

    def _cancel(self, run: Run) -> None:
        try:
            run.provider.cancel(run.checkpoint)
        except JobError as error:
            log.warning("the provider could not be told of the cancel", reason=str(error))
        _unless_lost(store().cancel(run.job.id, run.token))
        log.info("job cancelled")

    def _conclude(self, run: Run, error: JobError) -> Settlement:
        """Record how the attempt ended, and what becomes of its message."""
        job = run.job
        if not error.retryable:
            return self._fail(run, error)
        if job.attempts >= job.max_attempts:
            return self._fail(run, AttemptsExhausted(f"All {job.max_attempts} attempts failed. The last one: {error}"))
        seconds = self._wait_seconds(job, error)
        _unless_lost(store().retry_later(job.id, run.token, seconds=seconds, code=error.code, message=str(error)))
        log.warning("attempt failed; the job is tried again", code=error.code, reason=str(error), seconds=seconds)
        return Visible(seconds)

    def _fail(self, run: Run, error: JobError) -> Settlement:
        _unless_lost(store().fail(run.job.id, run.token, code=error.code, message=str(error), retryable=False))
        log.warning("job failed", code=error.code, reason=str(error))
        return Delete()

    def _unclaimed(self, job_id: str, delivery: Delivery) -> Settlement:
        job, now = store().look(job_id)
        match table.answer(job, now, kind=self.kind.name, message_id=delivery.message.message_id):
            case table.ComeAgain(seconds):
                return Visible(seconds)
            case table.SetAside(reason):
                return _set_aside(delivery, reason)
        if job is not None and job.status.is_final:
            perform_pending(job)  # whoever ended it may have died before it could
        log.info("a message had nothing to say any more", job_id=job_id, status=job and job.status.value)
        return Delete()

    def _wait_seconds(self, job: Job, error: JobError) -> int:
        """Exponential with full jitter, or what the service asked for."""
        if error.retry_after_seconds is not None:
            return max(1, round(error.retry_after_seconds))
        longest = min(self.kind.backoff_seconds * 2 ** (job.attempts - 1), self.kind.backoff_most_seconds)
        return max(1, round(random.uniform(0, longest)))


def _as_job_error(error: Exception) -> JobError:
    """Whatever a handler raises that is no JobError is ours: its traceback is logged, its words stay inside."""
    if isinstance(error, JobError):
        return error
    log.error("the handler broke", exc_info=error)
    return JobError()


def _unless_lost(written: bool) -> None:
    if not written:
        raise LeaseLost


def _set_aside(delivery: Delivery, reason: str) -> Settlement:
    attributes: dict[str, Any] = {"Reason": {"DataType": "String", "StringValue": reason}}
    try:
        dead_letters_of(delivery.job.kind).send(Outgoing(delivery.message.body, attributes))
    except QueueError as error:
        log.warning("a message could not be set aside; it comes again", job_id=delivery.job.job_id, reason=str(error))
        return Leave()
    log.error("message set aside", job_id=delivery.job.job_id, reason=reason)
    return Delete()
