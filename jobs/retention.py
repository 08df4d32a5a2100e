"""What goes after its time: what attempts made that did not win, after a day; finished jobs and all they made, after
`JOB_RETENTION_DAYS`.

Files go first, then their record, then the job: a kill in between leaves work for the next time, and nothing without an owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog

from jobs.database import Document, available, database
from jobs.document import Job
from jobs.expressions import NOW, expr
from jobs.files import files
from jobs.life import FINAL
from jobs.store import store
from jobs.verbs import names
from queues.catalogue import KINDS
from settings import settings

log = structlog.get_logger()

LEFTOVER_AFTER = timedelta(days=1)
"""No attempt lasts so long: what no result names by then is nobody's."""
MADE = ("generated_content", "media")
"""The collections of what attempts make; a record's id starts with the token of its attempt."""


def clear_away(most: int = 200) -> int:
    """Delete up to so many of each sort; how many were deleted.

    Raises:
        DatabaseUnavailable, StorageUnavailable: the next time makes up for it.
    """
    cleared = sum(_clear_leftovers(collection, most) for collection in MADE)
    cleared += sum(_clear_finished(kind, most) for kind in KINDS)
    if cleared:
        log.info("cleared away what nobody needs any more", things=cleared)
    return cleared


def _clear_leftovers(collection: str, most: int) -> int:
    is_old = {"$lt": ["$created_at", _ago(LEFTOVER_AFTER)]}
    with available():
        found = list(database().collection(collection).find({"is_judged": False, **expr(is_old)}, hint="unjudged").limit(most))
    return sum(_judge(collection, record) for record in found)


def _judge(collection: str, record: Document) -> bool:
    """Delete a record, and its file, unless the job's result names it; whether it was deleted."""
    job = store().get(record["job_id"])
    if job is not None and _is_named(job, record):
        with available():
            database().collection(collection).update_one({"_id": record["_id"]}, {"$set": {"is_judged": True}})
        return False
    if job is not None and job.lease is not None and _token(record) == job.lease.token:
        return False
    _delete(collection, record)
    return True


def _is_named(job: Job, record: Document) -> bool:
    result: Mapping[str, Any] = job.result or {}
    return record["_id"] == result.get("content_id") or record["_id"] in result.get("media", [])


def _token(record: Document) -> str:
    return str(record["_id"]).partition("/")[0]


def _clear_finished(kind: str, most: int) -> int:
    age = timedelta(days=settings().job_retention_days)
    wanted = {"kind": kind, "status": {"$in": names(FINAL)}, **expr({"$lt": ["$finished_at", _ago(age)]})}
    with available():
        found = list(database().collection("jobs").find(wanted, {"finished_at": 1}, hint="finished").limit(most))
    for job in found:
        _clear_job(job)
    return len(found)


def _clear_job(job: Document) -> None:
    for collection in MADE:
        with available():
            records = list(database().collection(collection).find({"job_id": job["_id"]}))
        for record in records:
            _delete(collection, record)
    with available():
        database().collection("texts").delete_one({"_id": job["_id"]})
        database().collection("jobs").delete_one({"_id": job["_id"], "finished_at": job["finished_at"]})


def _delete(collection: str, record: Document) -> None:
    if "key" in record:
        files().delete(record["key"])
    with available():
        database().collection(collection).delete_one({"_id": record["_id"]})


def _ago(age: timedelta) -> Document:
    return {"$subtract": [NOW, round(age.total_seconds() * 1000)]}
