"""Users' resumes: the state that the jobs of the kind `resumes` make, each change applied once and in its order.

A change is one conditional write. `applied_seq` is the number of the last one: the same one again changes nothing more, so an
attempt that died between this write and its job's end is simply repeated; and an earlier one, of a worker that lost its lease
long ago, changes nothing at all. A deleted resume stays as a mark, for the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal

from pymongo import ReturnDocument

from jobs.database import Database, Document, available, database
from jobs.document import Job
from jobs.errors import InvalidPayload, LeaseLost
from jobs.expressions import NOW, literal

Action = Literal["CREATE", "UPDATE", "DELETE"]


@dataclass(frozen=True, kw_only=True)
class Resume:
    """A resume as it is now. `version` counts its changes."""

    id: str
    template: str | None
    data: Mapping[str, Any]
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a job does to a resume. What an update leaves None stays as it is."""

    action: Action
    resume_id: str
    template: str | None = None
    data: Mapping[str, Any] | None = None


class Resumes:
    """Over one database. Methods raise `DatabaseUnavailable` when MongoDB is away."""

    def __init__(self, source: Database) -> None:
        self._source = source

    def get(self, user_id: str, resume_id: str) -> Resume | None:
        """The user's resume, or None if there is none, or no more."""
        with available():
            found = self._source.collection("resumes").find_one({"_id": _key(user_id, resume_id), "deleted_at": None})
        if found is None:
            return None
        fields = ("template", "data", "version", "created_at", "updated_at")
        return Resume(id=resume_id, **{name: found[name] for name in fields})

    def apply(self, job: Job, change: Change) -> int:
        """Apply the job's change, if that was not done before; the resume's version after it (0: there was nothing to delete).

        Raises:
            LeaseLost: later changes are applied already; nothing was changed.
            InvalidPayload: the resume is not as the change needs it; the message says what is wrong.
        """
        assert job.seq is not None
        with available():
            found = self._source.collection("resumes").find_one_and_update(
                {"_id": _key(job.user_id, change.resume_id)},
                [{"$replaceWith": {"$cond": [_may(change.action, job.seq), _changed(change, job.seq), "$$ROOT"]}}],
                upsert=change.action == "CREATE",
                return_document=ReturnDocument.AFTER,
            )
        if found is not None and found["applied_seq"] == job.seq:
            return int(found["version"])
        if found is not None and found["applied_seq"] > job.seq:
            raise LeaseLost
        if change.action == "CREATE":
            raise InvalidPayload(f"There is a resume {change.resume_id!r} already. Update it, or create one with another id.")
        if change.action == "UPDATE":
            raise InvalidPayload(f"There is no resume {change.resume_id!r} to update. Create it first.")
        return 0


def _key(user_id: str, resume_id: str) -> Document:
    """Users choose their resumes' ids, so two users may choose the same one."""
    return {"user_id": user_id, "resume_id": resume_id}


def _may(action: Action, seq: int) -> Document:
    """Whether the resume is as the change needs it, and no change of this number or a later one was applied."""
    is_new = {"$eq": [{"$type": "$applied_seq"}, "missing"]}
    is_deleted = {"$ne": [{"$ifNull": ["$deleted_at", None]}, None]}
    is_next = {"$lt": ["$applied_seq", seq]}
    if action == "CREATE":
        return {"$or": [is_new, {"$and": [is_deleted, is_next]}]}
    return {"$and": [{"$not": [is_deleted]}, is_next]}


def _changed(change: Change, seq: int) -> Document:
    """The resume after the change."""
    written: Document = {
        "version": {"$add": [{"$ifNull": ["$version", 0]}, 1]},
        "applied_seq": seq,
        "updated_at": NOW,
        "deleted_at": None,
    }
    match change.action:
        case "CREATE":
            written |= {"template": literal(change.template), "data": literal(change.data), "created_at": NOW}
        case "UPDATE":
            given = {"template": change.template, "data": change.data}
            written |= {name: literal(value) for name, value in given.items() if value is not None}
        case "DELETE":
            written |= {"template": None, "data": None, "deleted_at": NOW}
    return {"$mergeObjects": ["$$ROOT", written]}


@cache
def resumes() -> Resumes:
    """The process's."""
    return Resumes(database())
