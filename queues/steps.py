"""The steps of a delivery at which a process may die, listed in one place.

The code calls `reached` between any two writes. Nobody listens in production; `devstack.faulty` kills, hangs or breaks a worker
there, for the tests and for `celery -A tasks verify`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Step(StrEnum):
    """What has just happened, in the order of a delivery."""

    POLLING = "polling"
    """A receive is about to be made."""
    RECEIVED = "received"
    """SQS has given us a message; nothing is written."""
    ARRIVED = "arrived"
    """A slot has taken it up; the job is not claimed."""
    CLAIMED = "claimed"
    """The job is ours; the handler has not begun."""
    CALLING = "calling"
    """The provider is about to be asked."""
    KEPT = "kept"
    """A checkpoint is stored."""
    GENERATED = "generated"
    """The provider has answered; nothing of it is stored."""
    STORED = "stored"
    """Content and files are stored; the job does not know."""
    RECORDED = "recorded"
    """The job is over (completed, failed, cancelled); its effects are pending."""
    EFFECT_PERFORMED = "effect-performed"
    """An effect is performed and not struck out."""
    PUT_OFF = "put-off"
    """The job waits (retry, park, hand-back); the message is as it was."""
    SETTLED = "settled"
    """The end is decided; the message is not deleted or changed."""
    ACKNOWLEDGED = "acknowledged"
    """SQS has deleted or changed the message."""
    DISPATCHED = "dispatched"
    """A dispatch is taken; its message is not sent."""
    SENT = "sent"
    """A message is sent; the job does not name it."""


listeners: list[Callable[[Step, str], None]] = []


def reached(step: Step, job_id: str = "") -> None:
    """Say that a step was reached."""
    for listener in listeners:
        listener(step, job_id)
