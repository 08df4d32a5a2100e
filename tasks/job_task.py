"""The ritual around every handler: claim ▸ run ▸ record ▸ acknowledge. A kind's module holds only what is particular to it.

Order of writes: content and files under the lease token's name, then the job, then SQS. A kill between two of them leaves a
message that comes again, or a job that the relay sends, and the job says what that is worth then.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import uuid4

import structlog
from celery import Task
from celery.exceptions import Ignore, Retry

from jobs import tally
from jobs.document import Job
from jobs.effects import perform_pending_of
from jobs.errors import AttemptsExhausted, Cancelled, JobError, LeaseLost, NotNow, Retryable, TimedOut, WorkerLost
from jobs.spending import spending
from jobs.store import store
from jobs.subscribers import may_be_followed
from jobs.tracing import span
from queues.catalogue import Kind
from queues.deliveries import Delete, Delivery, Settlement, Visible, deliveries
from queues.steps import Step, reached
from tasks.ahead import ahead
from tasks.attempt import Made, perform
from tasks.beat import Held, beat
from tasks.child import perform_in_child
from tasks.claiming import claim_or_settle, is_last_receive
from tasks.hold import Hold
from tasks.intake import take_in
from tasks.leaving import is_leaving
from tasks.patience import patiently
from tasks.pool import current_slot
from tasks.run import Run

if TYPE_CHECKING:
    from providers.requests import Payload

log = structlog.get_logger()

KEPT_MESSAGE_SECONDS = 900
"""A job that waits longer than this lets its message go, and the relay sends another."""


class JobTask(Task):
    """The base of every kind's task. Its one argument is the job's id; `run` is the handler."""

    abstract = True
    Request = "tasks.requests:JobRequest"
    acks_late = True
    ignore_result = True
    throws = (JobError,)

    kind: Kind
    payload: type[Payload]

    def __call__(self, job_id: str) -> str:
        delivery = deliveries().get(self.request.properties["delivery_tag"])
        if delivery is None:  # let go of since: nothing is ours any more
            raise Ignore
        reached(Step.ARRIVED, job_id)
        if delivery.job.order is not None:  # not a job yet
            self._settle(delivery, patiently(partial(take_in, self.kind, self.payload, delivery)))
            raise Ignore
        if self.kind.fifo:
            self._go_through_group(delivery)
            raise Ignore
        return self._claim_and_attempt(delivery)

    def _go_through_group(self, delivery: Delivery) -> None:
        """Where an order is kept: the group's oldest open job, and under the same message the next, until none can start.

        How one of them ends is recorded, and stops nobody behind it.
        """
        while deliveries().get(delivery.tag) is not None:
            if is_leaving():
                self._settle(delivery, Visible(0))
            else:
                with suppress(Ignore, Retry, JobError):
                    self._claim_and_attempt(delivery)

    def _claim_and_attempt(self, delivery: Delivery) -> str:
        if (held := ahead().take(delivery.tag)) is not None:
            job, hold = held.job, held.hold
        else:
            job, hold = self._claim(delivery)
        with structlog.contextvars.bound_contextvars(**job.log_context()), self._keeping(job, hold, delivery):
            tally.claimed(job)
            self.request.retries = job.attempts - 1  # what Celery's own tasks know it by
            return self._attempt(Run(job, hold), hold, delivery)

    def _claim(self, delivery: Delivery) -> tuple[Job, Hold]:
        token = uuid4().hex
        claimed = patiently(partial(claim_or_settle, self.kind, delivery, token=token, worker=self.request.hostname))
        if not isinstance(claimed, Job):
            self._settle(delivery, claimed)
            raise Ignore
        return claimed, Hold(claimed.id, token, max_seconds=self.kind.max_seconds)

    @contextmanager
    def _keeping(self, job: Job, hold: Hold, delivery: Delivery) -> Iterator[None]:
        """Have the beat keep the lease, and end the attempt where it runs too long."""
        slot = current_slot()

        def time_out() -> None:
            Thread(target=self._time_out, args=(job, hold.token, delivery), name="time-out", daemon=True).start()
            if slot is not None:
                slot.write_off()

        with beat().keeping(Held(job, hold, delivery, time_out)):
            yield

    def _time_out(self, job: Job, token: str, delivery: Delivery) -> None:
        self._conclude(job, token, delivery, TimedOut())
        if self.kind.fifo:  # whoever goes through the group may hang
            self._settle(delivery, Visible(0))

    def _attempt(self, run: Run, hold: Hold, delivery: Delivery) -> str:
        try:
            with self._traced(run.job, delivery):
                hold.check()  # it may have ended before there was a slot
                hold.start_clock()
                run.began = monotonic()
                log.info("job started", worker=self.request.hostname)
                made = self._make(run)
                self._leave_slot()
                self._record(run, made)
                deliveries().ran(self.kind.name, monotonic() - run.began)
        except NotNow as error:
            self._park(run, delivery, error)
            raise Ignore from None
        except (Cancelled, LeaseLost):
            self._end_of_hold(run, delivery)
            raise Ignore from None
        except Exception as error:
            if run.hold.end is not None:  # whatever broke, nobody waits for it
                self._end_of_hold(run, delivery)
                raise Ignore from None
            if isinstance(error, WorkerLost) and is_leaving():  # its child was stopped with it: that is no attempt
                self._park(run, delivery, NotNow("worker_stopped", seconds=0))
                raise Ignore from None
            tally.attempt_failed(run.job.kind, monotonic() - run.began)
            reason = _as_job_error(error)
            self._conclude(run.job, run.token, delivery, reason)
            if isinstance(delivery.settlement, Visible):
                raise Retry(str(reason), exc=reason, when=delivery.settlement.seconds) from error
            raise reason from error.__cause__
        log.info("job completed")
        self._release(delivery, Delete())
        return "completed"

    def _traced(self, job: Job, delivery: Delivery) -> AbstractContextManager[str | None]:
        """The attempt as a span of its job's trace."""
        message_id, attempt = delivery.message.message_id, job.attempts
        return span(f"attempt {job.kind}", "consumer", job.traceparent, job_id=job.id, attempt=attempt, message_id=message_id)

    def _make(self, run: Run) -> Made:
        """In this slot's thread; in a child where the handler works the processor, or may have killed a worker."""
        try:
            if self.kind.cpu or run.job.crashes:
                return perform_in_child(self, run)
            return perform(self, run)
        except Exception:  # however the attempt ends, what it used is the job's
            patiently(partial(spending().account, run.job.id))
            raise

    def _leave_slot(self) -> None:
        """Recording needs no slot. (Whoever goes through a group begins with its next job, and keeps it.)"""
        slot = current_slot()
        if slot is not None and not self.kind.fifo:
            slot.leave()

    def _record(self, run: Run, made: Made) -> None:
        used = self._used(run.job, made)
        complete = partial(
            store().complete,
            run.job.id,
            run.token,
            result=made.result,
            usage=used,
            effects=made.follow_ups,
            related_jobs=[effect["job_id"] for effect in made.follow_ups],
        )
        if not patiently(complete):
            patiently(partial(spending().account, run.job.id))
            raise LeaseLost
        tally.completed(run.job.kind, monotonic() - run.began)
        reached(Step.RECORDED, run.job.id)
        if made.follow_ups or may_be_followed(run.job):
            perform_pending_of(run.job.id)

    def _used(self, job: Job, made: Made) -> Mapping[str, Any]:
        """What all of a job's attempts used. The ledger is not asked where it has nothing to say."""
        may_have_used = made.generations or job.attempts > 1 or job.crashes or job.usage
        return (patiently(partial(spending().total_of, job.id)) if may_have_used else None) or made.usage

    def _end_of_hold(self, run: Run, delivery: Delivery) -> None:
        """The hold ended before the attempt did. Handed back and timed out: whoever ended it has seen to the rest."""
        job = run.job
        if run.hold.end == "cancelled":
            if patiently(partial(store().cancel, job.id, run.token)):
                reached(Step.RECORDED, job.id)
                perform_pending_of(job.id)
                log.info("job cancelled")
            self._release(delivery, Delete())
        elif run.hold.end in (None, "lost"):
            tally.lease_lost(job.kind)
            log.warning("the lease was lost; what this attempt made is discarded")

    def _park(self, run: Run, delivery: Delivery, error: NotNow) -> None:
        park = partial(store().park, run.job.id, run.token, reason=error.reason, seconds=error.seconds)
        if patiently(park):
            reached(Step.PUT_OFF, run.job.id)
            log.info("job parked", reason=error.reason, seconds=error.seconds)
            self._release(delivery, Delete())

    def _conclude(self, job: Job, token: str, delivery: Delivery, error: JobError) -> None:
        if not error.retryable:
            self._fail(job, token, delivery, error)
        elif job.attempts >= job.max_attempts:
            what = f"All {job.max_attempts} attempts failed. The last one: {error}"
            self._fail(job, token, delivery, AttemptsExhausted(what))
        else:
            self._retry(job, token, delivery, error)

    def _fail(self, job: Job, token: str, delivery: Delivery, error: JobError) -> None:
        fail = partial(store().fail, job.id, token, code=error.code, message=str(error), retryable=False)
        if not patiently(fail):
            tally.lease_lost(job.kind)
            log.warning("the lease was lost; how this attempt ended counts no more")
            return
        tally.failed(job.kind)
        reached(Step.RECORDED, job.id)
        log.warning("job failed", code=error.code, reason=str(error), **job.log_context())
        perform_pending_of(job.id)
        self._release(delivery, Delete())

    def _retry(self, job: Job, token: str, delivery: Delivery, error: JobError) -> None:
        """The message comes again when the next attempt may start; where it can't, the relay sends another."""
        seconds = self._wait_seconds(job, error)
        can_keep = seconds <= KEPT_MESSAGE_SECONDS and not is_last_receive(self.kind, delivery.message)
        keeps_message = can_keep or self.kind.fifo  # a group's message stays as long as there is something to do
        retry_later = partial(
            store().retry_later,
            job.id,
            token,
            seconds=seconds,
            code=error.code,
            message=str(error),
            keeps_message=keeps_message,
        )
        if not patiently(retry_later):
            tally.lease_lost(job.kind)
            log.warning("the lease was lost; how this attempt ended counts no more")
            return
        reached(Step.PUT_OFF, job.id)
        log.warning(
            "attempt failed; the job is tried again", code=error.code, reason=str(error), seconds=seconds, **job.log_context()
        )
        if keeps_message and not self.kind.fifo:
            delivery.on_put_off_failed = partial(store().forget_message, job.id, delivery.message.message_id)
        self._release(delivery, Visible(seconds) if keeps_message else Delete())

    def retry(self, *_: Any, exc: Exception | None = None, countdown: float | None = None, **__: Any) -> NoReturn:
        """Celery's way to end an attempt that is worth another: nothing is published, the job's message comes again.

        How often is the catalogue's affair (`max_attempts`); Celery's other options mean nothing here.
        """
        raise Retryable(str(exc) if exc else None, retry_after_seconds=countdown) from exc

    def _wait_seconds(self, job: Job, error: JobError) -> int:
        """Exponential with full jitter, or what the service asked for."""
        if error.retry_after_seconds is not None:
            return max(1, round(error.retry_after_seconds))
        longest = min(self.kind.backoff_seconds * 2 ** (job.attempts - 1), self.kind.backoff_most_seconds)
        return max(1, round(random.uniform(0, longest)))

    def _release(self, delivery: Delivery, settlement: Settlement) -> None:
        """Settle the message of an attempt that is over. A group's message goes on to the next job."""
        if not self.kind.fifo:
            self._settle(delivery, settlement)

    def _settle(self, delivery: Delivery, settlement: Settlement) -> None:
        delivery.settlement = settlement
        reached(Step.SETTLED, delivery.job.job_id)
        deliveries().settle(delivery.tag)


def _as_job_error(error: Exception) -> JobError:
    """Whatever a handler raises that is no JobError is ours: its traceback is logged, its words stay inside."""
    if isinstance(error, JobError):
        return error
    log.error("the handler broke", exc_info=error)
    return JobError()
