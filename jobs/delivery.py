"""What to do with a message whose job could not be claimed: one pure function, a table of job and delivery.

The job's document decides; a message only says "look at this job".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from jobs.document import Job
from jobs.life import Status


@dataclass(frozen=True)
class Drop:
    """The message has nothing more to say."""


@dataclass(frozen=True)
class ComeAgain:
    """The job may start, or start over, in so many seconds: the message comes again then."""

    seconds: int


@dataclass(frozen=True)
class SetAside:
    """Nobody can do anything with this message: into the dead-letter queue, with the reason."""

    reason: str


Answer = Drop | ComeAgain | SetAside


def answer(job: Job | None, now: datetime, *, kind: str, message_id: str) -> Answer:
    """What becomes of the message `message_id` that asks for a job of `kind`. `now` is MongoDB's time when `job` was read."""
    if job is None:
        return SetAside("no job has this id")
    if job.kind != kind:
        return SetAside(f"field type is {kind!r}, but the job's is {job.kind!r}")
    if job.status.is_final or (job.message_id and job.message_id != message_id):
        return Drop()
    if job.status is Status.PROCESSING and job.lease is not None:
        return ComeAgain(_seconds(job.lease.expires_at, now))
    return ComeAgain(_seconds(job.not_before or now, now))


def _seconds(until: datetime, now: datetime) -> int:
    return max(math.ceil((until - now).total_seconds()), 1)
