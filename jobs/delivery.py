"""What to do with a message whose job could not be claimed: one pure function, a table of job and delivery.

The job's document decides; a message only says "look at this job".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from jobs.document import Job
from jobs.life import MOST_CRASHES, UNSTARTED, WAITING, Status

REDRIVE_TOLERANCE = timedelta(minutes=1)
"""A body's timestamp is its sender's, a message's is SQS's: their clocks may differ by less than this."""

GROUP_SECONDS_MOST = 900
"""A group's message looks again at the latest after this time: what its oldest job waits for may be over earlier."""


@dataclass(frozen=True, kw_only=True)
class Came:
    """What is known of a message that came."""

    message_id: str
    kind: str
    sent_at: datetime
    """When SQS took it, by SQS's clock."""
    written_at: datetime | None = None
    """When its body was written, by its sender's clock."""
    is_dead_letter: bool = False
    """It carries the reason for which it was a dead letter."""
    is_last: bool = False
    """SQS gives it to nobody again: its next receive would make it a dead letter."""


@dataclass(frozen=True)
class Drop:
    """The message has nothing more to say."""


@dataclass(frozen=True)
class ComeAgain:
    """The job may start, or start over, in so many seconds: the message comes again then."""

    seconds: int


@dataclass(frozen=True)
class Replace:
    """It should come again and can't: the job forgets it, and the relay sends another when it is time."""


@dataclass(frozen=True)
class SetAside:
    """Nobody can do anything with this message: into the dead-letter queue, with the reason."""

    reason: str


@dataclass(frozen=True)
class End:
    """The job can't start any more: this verb of the store ends it, and the answer is then that of its end."""

    verb: Literal["cancel", "expire", "give_up"]


@dataclass(frozen=True)
class StartOver:
    """An operator has sent the dead letter of the job that failed then back: its attempts are new."""

    failed_at: datetime | None


Answer = Drop | ComeAgain | Replace | SetAside | End | StartOver


def answer(job: Job | None, came: Came, now: datetime, *, quiet_seconds: float = 0) -> Answer:
    """What becomes of a message that got no claim.

    `now` is MongoDB's time when `job` was read; for `quiet_seconds` more this process takes nothing over.
    """
    if job is None:
        return SetAside("no job has this id")
    if job.kind != came.kind:
        return SetAside(f"field type is {came.kind!r}, but the job's is {job.kind!r}")
    is_named = job.message_id == came.message_id
    if job.status.is_final:
        is_redriven = job.status is Status.FAILED and not is_named and _is_redriven(job, came)
        return StartOver(job.finished_at) if is_redriven else Drop()
    if end := _end(job, now):
        return end
    return _later(job, came, now, quiet_seconds, is_named=is_named)


def answer_in_order(job: Job | None, oldest: Job | None, came: Came, now: datetime, *, quiet_seconds: float = 0) -> Answer:
    """The same where an order is kept: a message wakes its job's group, whose `oldest` open job was not to be claimed.

    It stays as long as the group has an open job, and no copy is one too many.
    """
    if oldest is None or job is None or job.kind != came.kind:
        return answer(job, came, now)
    if job.status is Status.FAILED and isinstance(about_itself := answer(job, came, now), StartOver):
        return about_itself
    later = _end(oldest, now) or _later(oldest, came, now, quiet_seconds, is_named=True)
    return ComeAgain(min(later.seconds, GROUP_SECONDS_MOST)) if isinstance(later, ComeAgain) else later


def _end(job: Job, now: datetime) -> End | None:
    """How a job ends that can't start any more."""
    is_leased = job.lease is not None and job.lease.expires_at > now
    if job.cancel_requested and not is_leased:
        return End("cancel")
    if job.status in UNSTARTED and job.started_at is None and job.expires_at is not None and job.expires_at <= now:
        return End("expire")
    is_exhausted = job.status in WAITING and job.attempts >= job.max_attempts
    is_crashing = job.status is Status.PROCESSING and not is_leased and job.crashes + 1 >= MOST_CRASHES
    return End("give_up") if is_exhausted or is_crashing else None


def _later(job: Job, came: Came, now: datetime, quiet_seconds: float, *, is_named: bool) -> Answer:
    """When the message of a job that runs or waits is of use again, if it is the one to come."""
    if job.status is Status.SCHEDULED:
        return Drop()  # the relay sends when it is due
    until = job.lease.expires_at if job.lease else job.not_before
    if until is not None and until > now:
        if not is_named:
            return Drop()
        seconds = (until - now).total_seconds()
    else:  # a moment ago it could not be claimed: somebody else was quicker, or we take nothing over yet
        seconds = quiet_seconds if job.lease else 0
    return Replace() if came.is_last else ComeAgain(max(math.ceil(seconds), 1))


def _is_redriven(job: Job, came: Came) -> bool:
    """Whether AWS's own tool moved the message here from the dead-letter queue after the job had failed.

    Our dead letters carry their reason. Those that SQS moved itself keep their body, but get a new time of sending.
    """
    if came.is_dead_letter:
        return True
    if job.finished_at is None or came.written_at is None:
        return False
    return came.sent_at > max(job.finished_at, came.written_at + REDRIVE_TOLERANCE)
