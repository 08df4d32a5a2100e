"""The workers that are running: a document for each process, written at every beat and removed at an orderly end."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from time import monotonic
from typing import Any, Self

from jobs.database import Document, available, database
from jobs.expressions import NOW, expr, later, literal
from jobs.pace import pace

BEATS_MISSED = 3
"""A worker silent for so many beats is gone."""
PACKAGE_VERSION = version("pressroom")


@dataclass(frozen=True, kw_only=True)
class WorkerDocument:
    """A worker as it last said. Times are MongoDB's, `read_at` that of this reading."""

    name: str
    host: str
    pid: int
    kinds: Sequence[str]
    slots: int
    running: int
    started_at: datetime
    seen_at: datetime
    last_receive: Mapping[str, datetime]
    """By kind: when SQS last answered a receive, or when the worker began to ask; of its lanes, the one of longest ago."""
    last_attempt: Mapping[str, datetime]
    """By kind: when a receive last came to its end, be it in vain."""
    receives_per_minute: Mapping[str, float] = field(default_factory=dict)
    """By kind: messages received a minute, over the last five minutes."""
    version: str
    read_at: datetime = field(repr=False)

    @classmethod
    def from_document(cls, document: Document) -> Self:
        known = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        return cls(name=document["_id"], **known)


class OwnDocument:
    """This process's document, for the one thread that keeps it. Methods raise `DatabaseUnavailable` when MongoDB is away."""

    def __init__(self, name: str) -> None:
        self._identity = {"_id": name, "host": socket.gethostname(), "pid": os.getpid()}
        self._began = monotonic()

    def write(
        self,
        *,
        slots: int,
        running: int,
        last_receive: Mapping[str, float],
        last_attempt: Mapping[str, float],
        receives_per_minute: Mapping[str, float] | None = None,
    ) -> None:
        """Say that we live. Times are `time.monotonic()`'s; MongoDB's clock makes them times of day."""
        written: Document = {
            **{name: literal(value) for name, value in self._identity.items()},
            "version": PACKAGE_VERSION,
            "kinds": sorted(last_receive),
            "slots": slots,
            "running": running,
            "started_at": _time_of(self._began),
            "seen_at": NOW,
            "gone_at": later(BEATS_MISSED * pace().beat),
            "receives_per_minute": literal(dict(receives_per_minute or {})),
            "last_receive": {kind: _time_of(at) for kind, at in last_receive.items()},
            "last_attempt": {kind: _time_of(at) for kind, at in last_attempt.items()},
        }
        with available():
            workers = database().collection("workers")
            workers.update_one({"_id": self._identity["_id"]}, [{"$replaceWith": written}], upsert=True)

    def remove(self) -> None:
        """Say that we are gone. A process that has taken the name over since keeps its document."""
        with available():
            database().collection("workers").delete_one(self._identity)


def workers() -> list[WorkerDocument]:
    """The workers that run now, by name.

    Raises:
        DatabaseUnavailable: MongoDB is away.
    """
    stages: list[dict[str, Any]] = [
        {"$match": expr({"$gt": ["$gone_at", NOW]})},
        {"$sort": {"_id": 1}},
        {"$set": {"read_at": NOW}},
    ]
    with available():
        return [WorkerDocument.from_document(document) for document in database().collection("workers").aggregate(stages)]


def _time_of(moment: float) -> Document:
    """MongoDB's time of a moment that this process's `monotonic()` told."""
    return later(moment - monotonic())
