"""Starting over a job that ended without a result."""

from __future__ import annotations

import structlog

from jobs.dispatch import process_name
from jobs.document import Job
from jobs.sending import send
from jobs.store import store

log = structlog.get_logger()


def retry(job_id: str, *, operator: str | None = None) -> Job | None:
    """The job, waiting again and sent. None: its state forbids that, or there is no such job. Its history names the `operator`.

    With SQS away it is started over all the same, and the relay sends it.

    Raises:
        DatabaseUnavailable: as far as we know, it was not started over.
    """
    job = store().requeue(job_id, by=process_name(), operator=operator)
    if job is None:
        return None
    log.info("job started over", **job.log_context())
    sent = send([job])
    for kind, fault in sent.faults.items():
        log.warning("started over without a message; the queue can't be reached", kind=kind, reason=str(fault))
    return sent.named([job])[0]
