"""From a message to a claimed job, or to what becomes of the message. Only `jobs.delivery` decides; this carries it out."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog

from jobs import delivery as table
from jobs import tally
from jobs.database import quiet_seconds_left
from jobs.dispatch import process_name
from jobs.document import Job
from jobs.effects import perform_pending
from jobs.store import store
from queues.catalogue import Kind
from queues.deliveries import Delete, Delivery, Leave, SetAside, Settlement, Visible
from queues.queue import Message
from queues.steps import Step, reached

log = structlog.get_logger()

MOST_ANSWERS = 5
"""An end or a start-over asks for a new look; a job that changes under us more often than this is left to the next delivery."""


def claim_or_settle(kind: Kind, delivery: Delivery, *, token: str, worker: str) -> Job | Settlement:
    """The job, claimed with `token`, or what becomes of its message. Repeating it with its token is harmless.

    Raises:
        DatabaseUnavailable: MongoDB is away; nothing was decided.
    """
    job_id = delivery.job.job_id
    for _ in range(MOST_ANSWERS):
        quiet = quiet_seconds_left()
        message_id = delivery.message.message_id
        job = store().claim(job_id, kind=kind.name, token=token, worker=worker, message_id=message_id, takes_over=not quiet)
        if job is not None:
            reached(Step.CLAIMED, job_id)
            return job
        found, now = store().look(job_id)
        settlement = _carry_out(table.answer(found, came(kind, delivery), now, quiet_seconds=quiet), found, delivery)
        if settlement is not None:
            return settlement
    return Leave()


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
            if ENDS[verb](job_id) and verb == "give_up" and job is not None:
                tally.given_up(job)
            return None
        case table.StartOver():
            store().requeue(job_id, by=process_name())
            log.info("a dead letter was sent back; the job starts over", job_id=job_id)
            return None
        case table.ComeAgain(seconds):
            return Visible(seconds)
        case table.Replace():
            store().forget_message(job_id, delivery.message.message_id)
            reached(Step.PUT_OFF, job_id)
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
