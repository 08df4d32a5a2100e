"""What changes in jobs and in their texts, as MongoDB tells it: one change stream, or a look each second where it has none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from time import monotonic, sleep
from typing import Any, NamedTuple

import structlog
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError

from jobs.database import ANSWER_MILLISECONDS, CONNECT_MILLISECONDS, Document, available, database
from jobs.document import Job
from settings import settings

JOBS, TEXTS = "jobs", "texts"
QUIET_MILLISECONDS = 1_000
"""So long MongoDB waits for a change before it says that there was none."""
SELECT_MILLISECONDS = 1_000
LOOK_SECONDS = 1.0
LOOKS_FOR_SECONDS = 60
"""A MongoDB without change streams is asked again after so long whether it has them by now."""
LOOKS_UNTIL_ALL = 5
"""Looks see the jobs that are watched one by one; who watches whole lists is told to look again as often as this."""
RETRY_SECONDS = 1.0

ONLY_NAMES: list[Document] = [
    {
        "$match": {
            "operationType": {"$in": ["insert", "replace", "update"]},
            "$or": [
                {"ns.coll": TEXTS},
                {"ns.coll": JOBS, "operationType": {"$ne": "update"}},
                # not the leases' renewals, nor what else leaves the version as it is
                {"ns.coll": JOBS, "updateDescription.updatedFields.version": {"$exists": True}},
            ],
        }
    },
    {"$project": {"ns.coll": 1, "documentKey": 1}},  # and its `_id`, by which the stream is resumed
]
"""Of a change, no more than what has changed: whoever wants it reads it once for all who watch."""

log = structlog.get_logger()


class Change(NamedTuple):
    """A document that is no longer as it was."""

    collection: str
    """`JOBS` or `TEXTS`."""
    job_id: str


def changes(watched: Callable[[], Collection[str]], is_wanted: Callable[[], bool]) -> Iterator[Change | None]:
    """Changes as they come, over a client of its own, until `is_wanted` (asked each second) says no.

    None stands for "changes may have been missed: look at everything"; so it begins. While MongoDB is away nothing comes, and
    afterwards what came meanwhile. `watched` are the ids that are looked at where MongoDB has no change streams.
    """
    configured = settings()
    client: MongoClient[Document] = MongoClient(
        configured.mongodb_uri,
        appname="pressroom-changes",
        connectTimeoutMS=CONNECT_MILLISECONDS,
        socketTimeoutMS=ANSWER_MILLISECONDS,
        serverSelectionTimeoutMS=SELECT_MILLISECONDS,
        retryReads=False,  # it is tried again here
    )
    with client:
        yield from _Feed(client[configured.mongodb_database], watched, is_wanted).follow()


def read_jobs(job_ids: Collection[str]) -> list[Job]:
    """Those of the jobs that there are, in one request.

    Raises:
        DatabaseUnavailable: MongoDB does not answer just now.
    """
    with available():
        return [Job.from_document(found) for found in database().collection(JOBS).find({"_id": {"$in": [*job_ids]}})]


class _Feed:
    """One subscription to the changes of a database."""

    def __init__(
        self, source: Database[Document], watched: Callable[[], Collection[str]], is_wanted: Callable[[], bool]
    ) -> None:
        self._source = source
        self._watched = watched
        self._is_wanted = is_wanted
        self._token: Any = None
        """Where the stream goes on. None: it begins anew."""
        self._is_away = False
        self._looks_until = 0.0
        self._seen: dict[Change, object] = {}

    def follow(self) -> Iterator[Change | None]:
        while self._is_wanted():
            try:
                yield from self._looks() if monotonic() < self._looks_until else self._stream()
            except OperationFailure as error:
                if self._token is None:
                    log.warning("MongoDB has no change streams, so jobs are looked at each second", reason=str(error)[:200])
                    self._looks_until = monotonic() + LOOKS_FOR_SECONDS
                self._token = None  # or it doesn't know any more what came after that
            except PyMongoError as error:
                if not self._is_away:
                    log.warning("changes of jobs can't be followed just now", reason=str(error)[:200])
                self._is_away = True
                sleep(RETRY_SECONDS)

    def _stream(self) -> Iterator[Change | None]:
        with self._source.watch(ONLY_NAMES, resume_after=self._token, max_await_time_ms=QUIET_MILLISECONDS) as stream:
            self._is_away = False
            if self._token is None:
                yield None
            while stream.alive and self._is_wanted():
                change = stream.try_next()
                self._token = stream.resume_token
                if change is not None:
                    yield Change(change["ns"]["coll"], str(change["documentKey"]["_id"]))

    def _looks(self) -> Iterator[Change | None]:
        n = 0
        while monotonic() < self._looks_until and self._is_wanted():
            if n % LOOKS_UNTIL_ALL == 0:
                yield None
            n += 1
            before, self._seen = self._seen, self._look()
            yield from (change for change, state in self._seen.items() if before.get(change) != state)
            sleep(LOOK_SECONDS)

    def _look(self) -> dict[Change, object]:
        """How each watched document is, as far as it tells whether it has changed."""
        these = {"_id": {"$in": [*self._watched()]}}
        asked: dict[str, Document] = {JOBS: {"version": 1}, TEXTS: {"token": 1, "bytes": {"$strLenBytes": "$text"}}}
        return {
            Change(name, found["_id"]): found
            for name, fields in asked.items()
            for found in self._source[name].find(these, fields)
        }
