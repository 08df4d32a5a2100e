"""What must follow the end of a job: recorded in the same write as the end, performed after it, then struck out.

An effect has a key, and performing it twice is as good as once; so whoever finds one pending may perform it. Each fails alone,
and stays pending until somebody succeeds: the relay tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import structlog

from jobs.database import DatabaseUnavailable
from jobs.document import Job
from jobs.errors import Retryable
from jobs.sending import send_next, unless_at_rest
from jobs.store import store
from jobs.submit import Order, submit
from jobs.subscribers import SUBSCRIBERS, as_it_ended, follower_id
from queues.clients import QueueError
from queues.queue import Outgoing, dead_letters_of
from queues.steps import Step, reached
from queues.wire import JobMessage, attributes
from settings import settings

log = structlog.get_logger()

Effect = Mapping[str, Any]


def submission(parent: Job, kind: str, payload: Mapping[str, Any]) -> Effect:
    """Submit a job of `kind` for the same user. Its id follows from the parent's, so it comes about once."""
    child = uuid5(NAMESPACE_OID, f"{parent.id}/{kind}").hex
    return {"key": f"submit:{child}", "does": "submit", "kind": kind, "job_id": child, "payload": dict(payload)}


def perform_pending(job: Job) -> None:
    """Perform the job's pending effects, each by itself. What this process can't perform now stays pending.

    Raises:
        DatabaseUnavailable: MongoDB is away; what was performed and not struck out is performed again.
    """
    for effect in job.effects:
        perform = PERFORMERS.get(effect["does"])
        if perform is None or effect.get("subscriber", "") not in {"", *SUBSCRIBERS}:
            continue  # another process can
        try:
            follower = perform(job, effect)
        except (QueueError, Retryable) as error:
            log.warning("an effect stays pending", effect=effect["key"], reason=str(error), **job.log_context())
            continue
        except DatabaseUnavailable:
            raise
        except Exception:
            log.exception("an effect can't be performed; the job's others go on", effect=effect["key"], **job.log_context())
            continue
        reached(Step.EFFECT_PERFORMED, job.id)
        store().effect_done(job.id, effect["key"], related_job=follower)
        log.info("effect performed", effect=effect["key"], **job.log_context())


def perform_pending_of(job_id: str) -> None:
    """Perform what is pending of a job that has just ended, as far as that goes now."""
    try:
        job = store().get(job_id)
        if job is not None:
            perform_pending(job)
    except DatabaseUnavailable as error:
        log.warning("effects stay pending", job_id=job_id, reason=str(error))


def _submit(job: Job, effect: Effect) -> None:
    submit(
        Order(
            kind=effect["kind"],
            payload=effect["payload"],
            user_id=job.user_id,
            job_id=effect["job_id"],
            traceparent=job.traceparent,
        )
    )


def _follow(job: Job, effect: Effect) -> str | None:
    """Submit the subscriber's job; its id, where the job's user is to see it."""
    subscriber = SUBSCRIBERS[effect["subscriber"]]
    ended = as_it_ended(job, effect)
    follower = submit(
        Order(
            kind=subscriber.kind,
            payload=subscriber.payload(ended),
            user_id=job.user_id,
            job_id=follower_id(job, effect),
            traceparent=job.traceparent,
        )
    )
    return follower.id if subscriber.is_shown else None


def _send_dead_letter(job: Job, effect: Effect) -> None:
    """A message as the job's own, with the reason: sent back to the queue by anybody's tool, it starts the job over.

    Without SQS there is none: the failed job itself stands with the dead letters.
    """
    if not settings().uses_sqs:
        return
    reason = {"Reason": {"DataType": "String", "StringValue": effect["reason"][:REASON_CHARACTERS]}}
    body = JobMessage(job.id, job.user_id, job.kind).body()
    queue = dead_letters_of(job.kind)
    with unless_at_rest(queue):  # or a round of the relay would wait for SQS once for each job that failed
        queue.send(Outgoing(body, attributes(job.kind, job.priority) | reason))


def _send_next(job: Job, effect: Effect) -> None:
    send_next(job.user_id)


REASON_CHARACTERS = 1_000
PERFORMERS: dict[str, Callable[[Job, Effect], str | None]] = {
    "submit": _submit,
    "follow": _follow,
    "dead_letter": _send_dead_letter,
    "next": _send_next,
}
"""By what an effect does; each answers the id of a job to link, or None. Packages above add theirs when they are loaded."""
