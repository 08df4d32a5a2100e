"""The life of a job: its states, and the verbs that move it from one to another.

    scheduled ─▶ queued ─▶ processing ─▶ completed
                  ▲ ▲           │ ├──────▶ failed ──(requeue)──▶ queued
                  │ └─ park, ───┘ └──────▶ retrying ─▶ processing
                  │    hand back           cancelled  (from any state before the end)
                  └──(requeue)             expired    (never started in time)

Nobody assigns a status: `jobs.store` has a method for each verb of this table, and the method's write asks for the statuses
that stand here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Where a job is in its life."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    PROCESSING = "processing"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        return self in FINAL


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED})
OPEN = frozenset(Status) - FINAL
WAITING = frozenset({Status.QUEUED, Status.RETRYING})
UNSTARTED = frozenset({Status.SCHEDULED, Status.QUEUED})

MOST_CRASHES = 5
"""The fifth lease that runs out ends the job."""


@dataclass(frozen=True)
class Transition:
    """What a verb asks of the status, and what it makes of it (None: it stays)."""

    sources: frozenset[Status]
    target: Status | None


RUNNING = frozenset({Status.PROCESSING})

TRANSITIONS: dict[str, Transition] = {
    # on the way to a worker
    "take": Transition(WAITING | UNSTARTED, None),  # what was scheduled is queued then
    "wait_for_place": Transition(WAITING, None),
    "mark_sent": Transition(WAITING, None),
    "claim": Transition(WAITING | RUNNING, Status.PROCESSING),  # from processing: the lease ran out
    # under a lease
    "renew": Transition(RUNNING, None),
    "progress": Transition(RUNNING, None),
    "checkpoint": Transition(RUNNING, None),
    "complete": Transition(RUNNING, Status.COMPLETED),
    "fail": Transition(RUNNING, Status.FAILED),
    "retry_later": Transition(RUNNING, Status.RETRYING),
    "park": Transition(RUNNING, Status.QUEUED),
    "hand_back": Transition(RUNNING, Status.QUEUED),
    # where a lease ran out, or nothing can run any more
    "recover": Transition(RUNNING, Status.QUEUED),
    "give_up": Transition(WAITING | RUNNING, Status.FAILED),
    "forget_message": Transition(OPEN, None),
    # by its user, or by time
    "request_cancel": Transition(OPEN, None),
    "cancel": Transition(OPEN, Status.CANCELLED),
    "expire": Transition(UNSTARTED, Status.EXPIRED),
    # after the end
    "requeue": Transition(frozenset({Status.FAILED, Status.EXPIRED, Status.CANCELLED}), Status.QUEUED),
    "dismiss": Transition(frozenset({Status.FAILED}), None),
    "effect_done": Transition(frozenset(Status), None),
    "account": Transition(frozenset(Status), None),  # what was used was used, however it ended
    "note_delivery": Transition(frozenset(Status), None),
}
