"""From a message to a claimed job, or to what becomes of the message. Only `jobs.delivery` decides; this carries it out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import structlog

from jobs import delivery as table
from jobs import tally
from jobs.database import quiet_seconds_left
from jobs.dispatch import process_name
from jobs.document import Job
from jobs.effects import perform_pending, perform_pending_of
from jobs.sending import send
from jobs.sequence import ordering
from jobs.store import store
from queues.catalogue import Kind
from queues.deliveries import Delete, Delivery, Leave, SetAside, Settlement, Visible
from queues.queue import Message
from queues.steps import Step, reached

log = structlog.get_logger()

Claim = Callable[..., Job | None]
"""The store's, with all but the job and `takes_over` given."""

MOST_ANSWERS = 5
"""An end or a start-over asks for a new look; a job that changes under us more often than this is left to the next delivery."""


def claim_or_settle(kind: Kind, delivery: Delivery, *, token: str, worker: str) -> Job | Settlement:
    """The job, claimed with `token`, or what becomes of its message. Repeating it with its token is harmless.

    Raises:
        DatabaseUnavailable: MongoDB is away; nothing was decided.
    """
    message_id = delivery.message.message_id
    claim = partial(store().claim, kind=kind.name, token=token, worker=worker, message_id=message_id)
    for _ in range(MOST_ANSWERS):
        outcome = _look_at_group(kind, delivery, claim) if kind.fifo else _look_at_job(kind, delivery, claim)
        if isinstance(outcome, Job):
            reached(Step.CLAIMED, outcome.id)
        if outcome is not None:
            return outcome
    return Visible(1) if kind.fifo else Leave()


def _look_at_job(kind: Kind, delivery: Delivery, claim: Claim) -> Job | Settlement | None:
    """The job claimed, or what becomes of its message; None: it has changed, look again."""
    quiet = quiet_seconds_left()
    job = claim(delivery.job.job_id, takes_over=not quiet)
    if job is not None:
        return job
    found, now = store().look(delivery.job.job_id)
    return _carry_out(table.answer(found, came(kind, delivery), now, quiet_seconds=quiet), found, delivery)


def _look_at_group(kind: Kind, delivery: Delivery, claim: Claim) -> Job | Settlement | None:
    """The same where an order is kept: the message wakes the group of its job, and the oldest open one has its turn."""
    quiet = quiet_seconds_left()
    own, now = store().look(delivery.job.job_id)
    oldest = None
    if own is not None and own.group is not None:
        oldest, now = ordering().oldest(kind.name, own.group)
    if oldest is not None:
        job = claim(oldest.id, seq=oldest.seq, takes_over=not quiet)
        if job is not None:
            return job
        oldest, now = store().look(oldest.id)
        if oldest is None or oldest.status.is_final:
            return None
    answer = table.answer_in_order(own, oldest, came(kind, delivery), now, quiet_seconds=quiet)
    return _carry_out(answer, oldest or own, delivery)


def came(kind: Kind, delivery: Delivery) -> table.Came:
    """The delivery as the table sees it."""
    message = delivery.message
    return table.Came(
        message_id=message.message_id,
        kind=kind.name,
        sent_at=datetime.fromtimestamp(message.sent_milliseconds / 1000, UTC),
        written_at=delivery.job.sent_at,
        is_dead_letter="Reason" in message.attributes,
        is_last=is_last_receive(kind, message),
    )


def is_last_receive(kind: Kind, message: Message) -> bool:
    """Whether the next receive of this message would make it a dead letter."""
    return message.receive_count >= kind.max_receives


def _carry_out(answer: table.Answer, job: Job | None, delivery: Delivery) -> Settlement | None:
    """What becomes of the message; None: the job has changed, look again."""
    job_id = delivery.job.job_id
    match answer:
        case table.End(verb):
            assert job is not None
            is_ended = ENDS[verb](job.id)
            if is_ended and verb == "give_up":
                tally.given_up(job)
            if is_ended and job.group is not None:  # the next look is at another job
                perform_pending_of(job.id)
            return None
        case table.StartOver(failed_at):
            started_over = store().requeue(job_id, by=process_name(), failed_at=failed_at)
            log.info("a dead letter was sent back; the job starts over", job_id=job_id)
            if started_over is None or started_over.group is None:
                return None
            send([started_over])  # it is the last of its group: by the time of its turn this message would say the same again
        case table.ComeAgain(seconds):
            return Visible(seconds)
        case table.Replace():
            assert job is not None
            named = delivery.message.message_id if job.group is None else job.message_id
            if named is not None:
                store().forget_message(job.id, named)
            reached(Step.PUT_OFF, job.id)
        case table.SetAside(reason):
            return SetAside(reason)
        case table.Drop():
            if job is not None and job.effects:
                perform_pending(job)  # whoever ended it may have died before it could
            log.info("a message had nothing to say any more", job_id=job_id, status=job and job.status.value)
    return Delete()


ENDS = {
    "cancel": lambda job_id: store().cancel(job_id, None),
    "expire": lambda job_id: store().expire(job_id),
    "give_up": lambda job_id: store().give_up(job_id),
}
