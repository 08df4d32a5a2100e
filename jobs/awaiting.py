"""Waiting a moment for a job's end, gently: a look at one document every now and then, and by few at a time."""

from __future__ import annotations

from threading import BoundedSemaphore
from time import monotonic, sleep

from jobs.database import available, database
from jobs.life import FINAL
from jobs.verbs import names

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5
MOST_AT_ONCE = 12
"""So many threads of a process wait at once; the others are left for those who want an answer now."""

_places = BoundedSemaphore(MOST_AT_ONCE)


def ended_within(job_id: str, seconds: float) -> bool:
    """Whether the job came to its end within so many seconds. False at once where too many wait already.

    Raises:
        DatabaseUnavailable: MongoDB is away.
    """
    if seconds <= 0 or not _places.acquire(blocking=False):
        return False
    try:
        return _watch(job_id, monotonic() + seconds)
    finally:
        _places.release()


def _watch(job_id: str, until: float) -> bool:
    pause = FIRST_PAUSE_SECONDS
    while True:
        with available():
            ended = database().collection("jobs").count_documents({"_id": job_id, "status": {"$in": names(FINAL)}}, limit=1)
        left = until - monotonic()
        if ended or left <= 0:
            return bool(ended)
        sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
