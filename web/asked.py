"""The job that a request's path names."""

from __future__ import annotations

from jobs.document import Job
from jobs.store import store
from web.identity import current_user
from web.problems import not_found
from web.requestlog import about


def asked_job(job_id: str) -> Job:
    """The job of that id, if the user may see it; from here on the log lines name it.

    Raises:
        Problem: 404.
    """
    about(job_id)
    job = store().get(job_id, current_user().sees)
    if job is None:
        raise not_found("such job")
    return job
