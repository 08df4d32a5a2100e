"""What follows the end of a job, declared in one place.

Each subscriber is a condition on the ended job, and a job of another kind that is submitted where it holds. The write that ends
a job, whoever makes it, records the pending effects with the end; `jobs.effects` performs them, each by itself. The follower's
id comes from the job, the subscriber and the very end, so an end is followed up once, and a job that was started over and ends
again is followed up again. Internal jobs' ends are followed by nothing: there is no webhook about a webhook.

(`jobs.verbs` builds `following()` into its writes, so what is imported here may know nothing of the store.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from jobs.database import Document
from jobs.document import Job, Progress
from jobs.expressions import literal
from jobs.life import Status
from jobs.media import PICTURED
from jobs.notices import count_of_end, mail_notice, webhook_notice
from queues.catalogue import internal_kinds, kind_named
from settings import settings

AT_THE_END = (
    *("status", "version", "progress", "attempts", "error", "result", "usage", "related_jobs"),
    *("message_id", "expires_at", "started_at", "finished_at"),
)
"""The fields that starting the job over changes: an effect remembers them as they were."""
IS_COMPLETED: Document = {"$eq": ["$status", Status.COMPLETED.value]}


@dataclass(frozen=True, kw_only=True)
class Subscriber:
    """Follows the ends of jobs with a job of its own."""

    name: str
    kind: str
    """Of the job that is submitted."""
    wants: Document
    """An expression over the document of a job that has just ended: whether it is followed."""
    may_want: Callable[[Job], bool]
    """What is known of that before the end: where it is False, `wants` will not hold."""
    payload: Callable[[Job], Mapping[str, Any]]
    """What the follower is ordered with, from the job as it was at its end."""
    is_shown: bool = False
    """Whether the job's user sees the follower among its related jobs."""
    is_on: Callable[[], bool] = lambda: True
    """Whether this installation wants it."""


def is_given(path: str) -> Document:
    """Whether there is something at this path of the document. (What is missing or null sorts before any text.)"""
    return {"$gt": [f"${path}", None]}


def thumbnails_order(job: Job) -> dict[str, Any]:
    """Of what the job has made, in the sizes that are usual."""
    return {"jobId": job.id}


SUBSCRIBERS: dict[str, Subscriber] = {
    subscriber.name: subscriber
    for subscriber in (
        Subscriber(
            name="webhook",
            kind="webhooks",
            wants=is_given("callback.url"),
            may_want=lambda job: job.callback is not None,
            payload=webhook_notice,
        ),
        Subscriber(
            name="mail",
            kind="emails",
            wants={"$and": [IS_COMPLETED, is_given("payload.userEmail")]},
            may_want=lambda job: "userEmail" in job.payload,
            payload=mail_notice,
        ),
        Subscriber(
            name="thumbnails",
            kind="thumbnails",
            wants={"$and": [IS_COMPLETED, {"$in": ["$kind", list(PICTURED)]}]},
            may_want=lambda job: job.kind in PICTURED,
            payload=thumbnails_order,
            is_shown=True,
        ),
        Subscriber(
            name="analytics",
            kind="analytics",
            wants={"$in": ["$status", [Status.COMPLETED.value, Status.FAILED.value]]},
            may_want=lambda job: True,
            payload=count_of_end,
            is_on=lambda: settings().job_analytics is not None,
        ),
    )
}


def following() -> Document:
    """An expression: the job's effects, and those of its subscribers. For the last stage of a write, where `has_followers`."""
    wanted = [subscriber for subscriber in SUBSCRIBERS.values() if subscriber.is_on()]
    pending = [{"$cond": [subscriber.wants, [_effect(subscriber)], []]} for subscriber in wanted]
    return {"$concatArrays": ["$effects", *pending]}


def has_followers() -> Document:
    """An expression: the job has ended, and what follows an end follows this one."""
    is_internal = {"$in": ["$kind", literal(internal_kinds())]}
    return {"$and": [{"$ne": ["$finished_at", None]}, {"$not": [is_internal]}]}


def may_be_followed(job: Job) -> bool:
    """Whether anything may follow the job's end, as far as that is known before. (What nobody performs, the relay does.)"""
    if kind_named(job.kind).internal:
        return False
    if settings().user_running_jobs is not None:  # the next of its user's
        return True
    return any(subscriber.is_on() and subscriber.may_want(job) for subscriber in SUBSCRIBERS.values())


def _effect(subscriber: Subscriber) -> Document:
    return {
        "key": {"$concat": [literal(f"{subscriber.name}:"), {"$toString": "$version"}]},
        "does": "follow",
        "subscriber": literal(subscriber.name),
        "ended": {name: f"${name}" for name in AT_THE_END},
    }


def as_it_ended(job: Job, effect: Mapping[str, Any]) -> Job:
    """The job as it was at the end that this effect follows, whatever became of it since."""
    known = {field.name for field in fields(Job)}
    ended = {name: value for name, value in effect["ended"].items() if name in known}
    return replace(job, **ended | {"status": Status(ended["status"]), "progress": Progress(**ended["progress"])})


def follower_id(job: Job, effect: Mapping[str, Any]) -> str:
    """The id of the job that follows this end."""
    return uuid5(NAMESPACE_OID, f"{job.id}/{effect['key']}").hex
