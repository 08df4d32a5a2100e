"""What must follow the end of a job: recorded in the same write as the end, performed after it, then struck out.

An effect has a key, and performing it twice is as good as once; so whoever finds one pending may perform it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import structlog

from jobs.document import Job
from jobs.store import store
from jobs.submit import Order, submit

log = structlog.get_logger()

Effect = Mapping[str, Any]


def submission(parent: Job, kind: str, payload: Mapping[str, Any]) -> Effect:
    """Submit a job of `kind` for the same user. Its id follows from the parent's, so it comes about once."""
    child = uuid5(NAMESPACE_OID, f"{parent.id}/{kind}").hex
    return {"key": f"submit:{child}", "does": "submit", "kind": kind, "job_id": child, "payload": dict(payload)}


def perform_pending(job: Job) -> None:
    """Perform the job's pending effects, each by itself."""
    for effect in job.effects:
        PERFORMERS[effect["does"]](job, effect)
        store().effect_done(job.id, effect["key"])
        log.info("effect performed", effect=effect["key"], **job.log_context())


def _submit(job: Job, effect: Effect) -> None:
    submit(Order(kind=effect["kind"], payload=effect["payload"], user_id=job.user_id, job_id=effect["job_id"]))


PERFORMERS: dict[str, Callable[[Job, Effect], None]] = {"submit": _submit}
