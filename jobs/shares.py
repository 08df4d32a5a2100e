"""Users' shares: how many of a user's jobs may be in the queues or running at once (`USER_RUNNING_JOBS`).

The rest wait in MongoDB as `user_cap`, so that nobody's thousand jobs stand before the next user's one. Places are recounted
at each send. The end of a job sends its user's next one; the relay sends what was missed. Internal jobs (a webhook, a mail)
take no place and wait for none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from jobs.dispatch import dispatches
from jobs.document import Job
from queues.catalogue import kind_named
from settings import settings

NO_CAP_AT_ONCE = 100
"""How many of a user's waiting jobs are sent at a time where there is no cap any more."""


def within(jobs: Sequence[Job]) -> list[Job]:
    """Those of these jobs, whose dispatch is taken, that their users' shares let be sent. The others wait from now on.

    Senders that count at the same time agree: those whose dispatch was taken first have the free places.

    Raises:
        DatabaseUnavailable: nothing is known; no job waits that would not have to.
    """
    cap = settings().user_running_jobs
    if cap is None:
        return list(jobs)
    by_user: dict[str, list[Job]] = defaultdict(list)
    allowed: set[str] = set()
    for job in jobs:
        if kind_named(job.kind).internal:
            allowed.add(job.id)
        else:
            by_user[job.user_id].append(job)
    for user_id, theirs in by_user.items():
        # In this order: a job that is named between the two reads counts once, as one that is being sent.
        taken = dispatches().first_taken(user_id, cap)
        first = taken[: max(dispatches().free_places(user_id, cap, besides=taken), 0)]
        dispatches().wait_for_place([job for job in theirs if job.id not in first])
        allowed.update(first)
    return [job for job in jobs if job.id in allowed]


def take_next(user_id: str, by: str) -> list[Job]:
    """Take the dispatch of as many of the user's waiting jobs as have a free place: high priority first, then the oldest."""
    cap = settings().user_running_jobs
    free = NO_CAP_AT_ONCE if cap is None else dispatches().free_places(user_id, cap)
    return dispatches().take(dispatches().waiting_for_place(user_id, free), by) if free > 0 else []
