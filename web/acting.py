"""What users do to jobs that are there: cancel them, start them over. What an operator does to another's job is logged, and the
job's history names him."""

from __future__ import annotations

import structlog

from jobs.document import Job
from jobs.draining import drains
from jobs.quota import room_for
from jobs.retry import retry
from jobs.store import store
from web.asked import asked_job
from web.identity import current_user
from web.ordering import no_room
from web.problems import Problem

log = structlog.get_logger("web")


def cancel(job: Job) -> Job:
    """Ask for the job's end; the job as it is then.

    Raises:
        Problem: 409, it is over already.
    """
    operator = _operator_of(job)
    asked = store().request_cancel(job.id, job.user_id, operator=operator)
    if asked is None:
        raise _forbidden(job.id, "only a job that is not over can be cancelled")
    if operator is not None:
        log.info("job cancelled by an operator", by=operator, **job.log_context())
    return asked


def start_over(job: Job) -> Job:
    """Start the job over; the job, waiting again.

    Raises:
        Problem: 409, it is neither failed nor expired nor cancelled; 429, its user has no room for it.
        QueueDraining: its queue is being emptied.
    """
    drains().refuse_order(job.kind)
    operator = _operator_of(job)
    if operator is None and not room_for(job.user_id):
        raise no_room()
    waiting = retry(job.id, operator=operator)
    if waiting is None:
        raise _forbidden(job.id, "only a job that is failed, expired or cancelled can be retried")
    if operator is not None:
        log.info("job started over by an operator", by=operator, **job.log_context())
    return waiting


def _operator_of(job: Job) -> str | None:
    """Who acts upon another's job; None: it is the user's own."""
    user = current_user()
    return None if user.id == job.user_id else user.id


def _forbidden(job_id: str, rule: str) -> Problem:
    """A verb that the job's state forbids."""
    return Problem(409, f"The job is {asked_job(job_id).status}; {rule}.")
