"""The images and videos of jobs: a record of each in `media`, its bytes in `jobs.files`.

A record's id and its file's key hold the lease token of the attempt that made it; the job's result names those that count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from jobs.database import Document, available, database
from jobs.document import Job
from jobs.expressions import NOW, new_or_kept
from jobs.files import files
from jobs.life import Status

PICTURED = ("images", "videos", "documents")
"""The kinds whose jobs are followed by one that makes thumbnails of their results."""


@dataclass(frozen=True, kw_only=True)
class MediaItem:
    """What is known of a stored file. Sizes are pixels, `duration_seconds` is None for images."""

    name: str
    key: str
    content_type: str
    bytes: int
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None


def save_media(
    job: Job,
    *,
    name: str,
    content_type: str,
    file: BinaryIO,
    width: int | None,
    height: int | None,
    duration_seconds: float | None,
) -> str:
    """Store a file under the job's lease and answer its record's id for the job's result.

    The record comes first: so a file that a kill leaves behind is on record, for `jobs.retention` to find.
    """
    assert job.lease is not None
    key = f"{job.id}/{job.lease.token}/{name}"
    start = file.tell()
    size = file.seek(0, 2) - start
    file.seek(start)
    record_id = f"{job.lease.token}/{name}"
    record = {
        "_id": record_id,
        "job_id": job.id,
        "user_id": job.user_id,
        "name": name,
        "key": key,
        "content_type": content_type,
        "bytes": size,
        "width": width,
        "height": height,
        "duration_seconds": duration_seconds,
        "is_judged": False,
    }
    with available():
        database().collection("media").update_one({"_id": record_id}, new_or_kept(record, created_at=NOW), upsert=True)
    files().put(key, file, content_type)
    return record_id


def media_names(job: Job) -> list[str]:
    """The names of a completed job's files, in the order of its result, without asking the database."""
    return [record_id.partition("/")[2] for record_id in (job.result or {}).get("media", [])]


def media_of(job: Job) -> list[MediaItem]:
    """The files of a completed job, in the order of its result."""
    wanted = list((job.result or {}).get("media", []))
    if not wanted:
        return []
    with available():
        found = database().collection("media").find({"_id": {"$in": wanted}, "user_id": job.user_id})
        records: dict[str, Document] = {record["_id"]: record for record in found}
    return [_item(records[record_id]) for record_id in wanted if record_id in records]


def thumbnails_of(job: Job) -> list[MediaItem]:
    """The thumbnails of what a job has made, as the last job that followed it for them has made them; none until then."""
    wanted = {"_id": {"$in": job.related_jobs}, "kind": "thumbnails", "user_id": job.user_id, "status": Status.COMPLETED.value}
    with available():
        made = [Job.from_document(found) for found in database().collection("jobs").find(wanted)]
    return media_of(max(made, key=lambda each: each.created_at)) if made else []


def pictured(jobs: Iterable[Job]) -> frozenset[str]:
    """The ids of those of these jobs that have thumbnails."""
    followers = [follower for job in jobs if job.kind in PICTURED for follower in job.related_jobs]
    if not followers:
        return frozenset()
    wanted = {"_id": {"$in": followers}, "kind": "thumbnails", "status": Status.COMPLETED.value}
    with available():
        found = database().collection("jobs").find(wanted, {"payload.jobId": 1})
        return frozenset(str(each["payload"]["jobId"]) for each in found if each["payload"].get("jobId"))


def _item(record: Document) -> MediaItem:
    return MediaItem(**{name: record[name] for name in MediaItem.__dataclass_fields__})
