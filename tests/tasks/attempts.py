"""An attempt of a job without a worker around it: claimed, run and stored in the test's own process."""

from __future__ import annotations

from uuid import uuid4

from jobs.document import Job
from jobs.store import store
from tasks.attempt import Made, perform
from tasks.hold import Hold
from tasks.kinds import task_of
from tasks.run import Run


def attempt(job: Job) -> Made:
    """What the attempt made.

    Raises:
        JobError: it failed.
    """
    token = uuid4().hex
    claimed = store().claim(job.id, kind=job.kind, token=token, worker="test", message_id=None)
    assert claimed is not None
    return perform(task_of(job.kind), Run(claimed, Hold(job.id, token, max_seconds=60)))
