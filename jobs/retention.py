"""What goes after its time: what attempts made that did not win, after a day; finished jobs and all they made, after
`JOB_RETENTION_DAYS`.

Files go first, then their record, then the job: a kill in between leaves work for the next time, and nothing without an owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import structlog
from pymongo import DeleteOne

from jobs.database import Document, available, database
from jobs.expressions import ago, expr
from jobs.files import files
from jobs.life import FINAL
from jobs.verbs import names
from queues.catalogue import KINDS
from settings import settings

log = structlog.get_logger()

LEFTOVER_AFTER = timedelta(days=1)
"""No attempt lasts so long: what no result names by then is nobody's."""
MOST = 500
"""Of each sort, in one go."""
MADE = ("generated_content", "media")
"""The collections of what attempts make; a record's id starts with the token of its attempt."""


class Cleared(NamedTuple):
    """What was done."""

    deleted: int
    goes_on: bool
    """There may be more whose time is over."""


def clear_away(most: int = MOST) -> Cleared:
    """Look at up to so many of each sort, and delete what is to go.

    Raises:
        DatabaseUnavailable, StorageUnavailable: the next time makes up for it.
    """
    parts = [_clear_leftovers(collection, most) for collection in MADE] + [_clear_finished(kind, most) for kind in KINDS]
    cleared = Cleared(sum(part.deleted for part in parts), any(part.goes_on for part in parts))
    if cleared.deleted:
        log.info("cleared away what nobody needs any more", things=cleared.deleted)
    return cleared


def _clear_leftovers(collection: str, most: int) -> Cleared:
    """Judge the oldest records: what the result of its job names stays for as long as the job does, the others go."""
    is_old = {"$lt": ["$created_at", ago(LEFTOVER_AFTER.total_seconds())]}
    with available():
        found = list(database().collection(collection).find({"is_judged": False, **expr(is_old)}, hint="unjudged").limit(most))
        of = {"_id": {"$in": [record["job_id"] for record in found]}}
        jobs = {job["_id"]: job for job in database().collection("jobs").find(of, {"result": 1, "lease.token": 1})}
        named = [record["_id"] for record in found if _is_named(jobs.get(record["job_id"]), record)]
        database().collection(collection).update_many({"_id": {"$in": named}}, {"$set": {"is_judged": True}})
    kept = {*named, *(record["_id"] for record in found if _is_running(jobs.get(record["job_id"]), record))}
    deleted = _delete(collection, [record for record in found if record["_id"] not in kept])
    return Cleared(deleted, len(found) == most)


def _is_named(job: Document | None, record: Document) -> bool:
    result: Mapping[str, Any] = (job or {}).get("result") or {}
    return record["_id"] == result.get("content_id") or record["_id"] in result.get("media", [])


def _is_running(job: Document | None, record: Document) -> bool:
    """Whether the attempt that made it still holds its job."""
    lease: Mapping[str, Any] = (job or {}).get("lease") or {}
    return lease.get("token") == str(record["_id"]).partition("/")[0]


def _clear_finished(kind: str, most: int) -> Cleared:
    age = timedelta(days=settings().job_retention_days)
    is_over = {"$lt": ["$finished_at", ago(age.total_seconds())]}
    wanted = {"kind": kind, "status": {"$in": names(FINAL)}, **expr(is_over)}
    with available():
        found = list(database().collection("jobs").find(wanted, {"finished_at": 1}, hint="finished").limit(most))
    if not found:
        return Cleared(0, goes_on=False)
    ids = [job["_id"] for job in found]
    for collection in MADE:
        with available():
            records = list(database().collection(collection).find({"job_id": {"$in": ids}}, {"key": 1}))
        _delete(collection, records)
    unless_started_over = [DeleteOne({"_id": job["_id"], "finished_at": job["finished_at"]}) for job in found]
    with available():
        database().collection("texts").delete_many({"_id": {"$in": ids}})
        deleted = database().collection("jobs").bulk_write(unless_started_over, ordered=False).deleted_count
    return Cleared(deleted, len(found) == most)


def _delete(collection: str, records: list[Document]) -> int:
    """Delete these records, their files before them."""
    for record in records:
        if "key" in record:
            files().delete(record["key"])
    these = {"_id": {"$in": [record["_id"] for record in records]}}
    with available():
        return database().collection(collection).delete_many(these).deleted_count if records else 0
