"""An attempt without a worker: a real job, claimed here, and its `Run`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from jobs.store import store
from jobs.submit import Order, process_name
from tasks import child
from tasks.hold import Hold
from tasks.run import Run


def run_of(kind: str, payload: Mapping[str, Any], user_id: str = "ada") -> Run:
    """The first attempt of a new job."""
    job = store().insert(Order(kind=kind, payload=payload, user_id=user_id).document(), by=process_name())
    return _claimed(job.id, kind)


def next_run(run: Run) -> Run:
    """The attempt after that one, which is put off."""
    assert store().retry_later(run.job.id, run.token, seconds=0, code="internal", message="again", keeps_message=False)
    return _claimed(run.job.id, run.job.kind)


def end_kept_children() -> None:
    """Those that this process keeps have the environment of the test that they were started in."""
    while child._idle:
        child._idle.pop().kill()


def _claimed(job_id: str, kind: str) -> Run:
    job = store().claim(job_id, kind=kind, token=uuid4().hex, worker="here", message_id=None)
    assert job is not None
    assert job.lease is not None
    return Run(job, Hold(job.id, job.lease.token, max_seconds=600))
