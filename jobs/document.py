"""A job as Python sees it: a frozen value, made from its document here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from jobs.life import Status
from jobs.search import words_of

Document = dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far a job is: 0 to 100, and what it is doing, in words for its user."""

    percent: int = 0
    stage: str = ""


@dataclass(frozen=True)
class Lease:
    """A worker's claim on a job. Every write of the worker asks for the token."""

    token: str
    worker: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Job:
    """One order of a kind. Times are aware and MongoDB's; `payload` is as the user sent it, defaults filled in (camelCase)."""

    id: str
    kind: str
    user_id: str
    group: str | None = None
    """Whose jobs are done one after another; None: no order is kept."""
    seq: int | None = None
    """The job's number in its group: by these they are done."""
    status: Status
    payload: Mapping[str, Any] = field(repr=False)
    traceparent: str | None = None
    """The trace that it belongs to."""
    priority: str
    provider: str | None
    model_id: str | None
    version: int
    progress: Progress
    attempts: int
    max_attempts: int
    crashes: int
    not_before: datetime | None
    waiting_for: Mapping[str, Any] | None
    expires_at: datetime | None
    message_id: str | None
    dispatch: Mapping[str, Any] = field(repr=False)
    lease: Lease | None
    cancel_requested: datetime | None
    checkpoint: Mapping[str, Any] = field(repr=False)
    error: Mapping[str, Any] | None
    result: Mapping[str, Any] | None = field(repr=False)
    usage: Mapping[str, Any] | None = field(repr=False)
    effects: list[Mapping[str, Any]] = field(repr=False)
    related_jobs: list[str] = field(repr=False)
    callback: Mapping[str, Any] | None = field(default=None, repr=False)
    """`{"url"}`: the address that is told of the job's end."""
    deliveries: list[Mapping[str, Any]] = field(default_factory=list, repr=False)
    """The last tries to tell it (`jobs.webhook_log`)."""
    metadata: Mapping[str, str] = field(repr=False)
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    completed_under: str | None = None
    """The lease's token under which it was completed."""
    history: list[Mapping[str, Any]] = field(repr=False)

    @classmethod
    def from_document(cls, document: Document) -> Self:
        """The job of a whole document."""
        lease = document["lease"]
        fields = {name: document[name] for name in cls.__dataclass_fields__ if name in document} | {
            "id": document["_id"],
            "status": Status(document["status"]),
            "progress": Progress(**document["progress"]),
            "lease": Lease(**lease) if lease else None,
        }
        is_whole = len(fields) == len(cls.__dataclass_fields__)
        return cls._made_of(fields) if is_whole else cls(**fields)  # an earlier release's

    def with_message(self, message_id: str | None) -> Self:
        """The job, naming this message."""
        return self._made_of(vars(self) | {"message_id": message_id})

    @classmethod
    def _made_of(cls, fields: Mapping[str, Any]) -> Self:
        """What `__init__` makes of all fields; it sets each by itself, a frozen value's forty, and jobs come by thousands."""
        made = cls.__new__(cls)
        vars(made).update(fields)
        return made

    def log_context(self) -> dict[str, Any]:
        """What every log line about this job says."""
        return {"job_id": self.id, "kind": self.kind, "user_id": self.user_id, "attempt": self.attempts}


def new_document(
    *,
    job_id: str,
    kind: str,
    user_id: str,
    payload: Mapping[str, Any],
    max_attempts: int,
    provider: str | None,
    model_id: str | None,
    traceparent: str | None = None,
    group: str | None = None,
) -> Document:
    """The document of a new job without its times, which are MongoDB's. Every field is written, so queries can rely on it."""
    return {
        "_id": job_id,
        "kind": kind,
        "user_id": user_id,
        "group": group,
        "seq": None,
        "status": Status.QUEUED.value,
        "payload": dict(payload),
        "search": words_of(payload),
        "priority": "normal",
        "provider": provider,
        "model_id": model_id,
        "traceparent": traceparent,
        "version": 1,
        "progress": {"percent": 0, "stage": "Waiting for a worker"},
        "attempts": 0,
        "max_attempts": max_attempts,
        "crashes": 0,
        "not_before": None,
        "waiting_for": None,
        "expires_at": None,
        "message_id": None,
        "dispatch": {"n": 0, "by": None, "until": None, "at": None},
        "lease": None,
        "cancel_requested": None,
        "checkpoint": {},
        "error": None,
        "result": None,
        "usage": None,
        "effects": [],
        "related_jobs": [],
        "idempotency_key": None,
        "callback": None,
        "deliveries": [],
        "metadata": {},
        "started_at": None,
        "finished_at": None,
        "completed_under": None,
    }
