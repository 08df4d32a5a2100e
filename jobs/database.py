"""MongoDB: one client a process, patient with nothing, its collections, their validator and their indexes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from threading import Lock
from time import monotonic, time
from typing import Any, TypeVar

from gridfs import GridFSBucket
from pymongo import ASCENDING, DESCENDING, IndexModel, MongoClient, timeout
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)

from jobs.life import FINAL, OPEN, Status
from jobs.pace import pace
from settings import settings

Document = dict[str, Any]
T = TypeVar("T")

NAMESPACE_EXISTS = 48
"""MongoDB's code for "the collection is there already"."""
INDEX_BEING_BUILT = 12_587
"""MongoDB's code for "not while a background operation runs"."""
INDEX_DIFFERS = frozenset({85, 86})
"""MongoDB's codes for "an index of that name, or of those keys, is there and is another"."""
CONNECT_MILLISECONDS = 1_000
ANSWER_MILLISECONDS = 5_000
SELECT_MILLISECONDS = 2_000
TRANSACTION_SECONDS = 10
TOLD_SECONDS = 5.0
"""MongoDB is asked for its time so often at most: two stopwatches don't part by a millisecond meanwhile."""
SLEPT_SECONDS = 0.05
AT_A_TIME = 1_000
"""Documents that a query hands on together to whoever writes something for each of them. MongoDB would hand on 16 MiB, many
thousands, and forgets a query that is not asked on for ten minutes."""

EVER = datetime(1970, 1, 1, tzinfo=UTC)
"""A lower bound that leaves out null."""

JOBS_VALIDATOR: Document = {
    "$jsonSchema": {
        "required": ["kind", "user_id", "status", "payload", "version", "attempts", "dispatch", "lease", "created_at"],
        "properties": {
            "status": {"enum": [status.value for status in Status]},
            "attempts": {"bsonType": "int", "minimum": 0},
            "version": {"bsonType": "int", "minimum": 1},
        },
        # finished_at is set if and only if the state is final; a lease is held if and only if it is processing
        "oneOf": [
            {
                "properties": {
                    "status": {"enum": [status.value for status in sorted(FINAL)]},
                    "finished_at": {"bsonType": "date"},
                    "lease": {"bsonType": "null"},
                }
            },
            {
                "properties": {
                    "status": {"enum": ["scheduled", "queued", "retrying"]},
                    "finished_at": {"bsonType": "null"},
                    "lease": {"bsonType": "null"},
                }
            },
            {
                "properties": {
                    "status": {"enum": ["processing"]},
                    "finished_at": {"bsonType": "null"},
                    "lease": {"bsonType": "object"},
                }
            },
        ],
    }
}


def _of_open(name: str, *fields: str, where: Document | None = None) -> IndexModel:
    """An index of the jobs that are not over, and fit `where`; a query that uses it must ask for their statuses, and for that.

    (The open statuses come after the final ones in the alphabet. MongoDB would take a list of them here, but its planner then
    does not see that a query for some of them is within it.)
    """
    is_open: Document = {"status": {"$gte": min(OPEN).value}}
    return IndexModel([(field, ASCENDING) for field in fields], name=name, partialFilterExpression=is_open | (where or {}))


def _newest(name: str, *fields: str) -> IndexModel:
    """An index of all jobs with these fields, the newest first."""
    return IndexModel(
        [*((field, ASCENDING) for field in fields), ("created_at", DESCENDING), ("_id", DESCENDING)],
        name=name,
    )


INDEXES: dict[str, list[IndexModel]] = {
    "jobs": [
        # What lists ask for (jobs.listing). They name each kind and state that they want, so MongoDB merges these indexes'
        # stretches in the order of the list, and reads no job that is not on the page.
        _newest("user_newest", "user_id", "kind", "status"),
        _newest("kind_status", "kind", "status"),
        IndexModel([("search", ASCENDING), ("user_id", ASCENDING)], name="words"),
        IndexModel([("user_id", ASCENDING), ("_id", ASCENDING)], name="user_ids"),
        IndexModel(
            [("lease.token", ASCENDING)], name="lease_token", partialFilterExpression={"status": Status.PROCESSING.value}
        ),
        # What the relay asks for, and where a user's share is counted: few jobs are open at a time, so these stay small.
        _of_open("open_unsent", "kind", "message_id", "waiting_for.reason", "priority", "not_before", "created_at"),
        _of_open("open_sent", "kind", "status", "dispatch.at", "message_id"),
        _of_open("open_expiring", "kind", "expires_at", where={"expires_at": {"$gt": EVER}}),
        _of_open("open_user_sent", "user_id", "message_id", "dispatch.until", "_id"),
        _of_open("open_line", "kind", "priority", "status", "created_at", "waiting_for.reason", "not_before"),
        IndexModel(
            [("kind", ASCENDING), ("group", ASCENDING), ("seq", ASCENDING)],
            name="open_in_order",
            partialFilterExpression={"status": {"$gte": min(OPEN).value}, "group": {"$gt": ""}},
        ),
        _of_open(
            *("open_place", "waiting_for.reason", "status", "user_id", "priority", "created_at"),
            where={"waiting_for.reason": {"$gt": ""}},
        ),
        IndexModel(
            [("kind", ASCENDING), ("lease.expires_at", ASCENDING)],
            name="lease_end",
            partialFilterExpression={"status": Status.PROCESSING.value},
        ),
        IndexModel(
            [("kind", ASCENDING), ("status", ASCENDING), ("finished_at", ASCENDING)],
            name="finished",
            partialFilterExpression={"status": {"$lte": max(FINAL).value}},  # before the open ones in the alphabet
        ),
        IndexModel(
            [("kind", ASCENDING), ("finished_at", ASCENDING)],
            name="effects",
            partialFilterExpression={"effects.key": {"$exists": True}},
        ),
    ],
    **{
        made: [
            IndexModel([("job_id", ASCENDING)], name="job"),
            IndexModel([("created_at", ASCENDING)], name="unjudged", partialFilterExpression={"is_judged": False}),
        ]
        for made in ("generated_content", "media")
    },
    "analytics": [
        IndexModel([(field, ASCENDING) for field in ("user_id", "event", "subject", "hour", "n")], name="of_user"),
        IndexModel([(field, ASCENDING) for field in ("event", "subject", "hour", "n")], name="of_all"),
        IndexModel([("hour", ASCENDING)], name="long_gone", expireAfterSeconds=800 * 86_400),
    ],
    "keys": [IndexModel([("hash", ASCENDING)], name="hash", unique=True)],
    "sessions": [IndexModel([("expires_at", ASCENDING)], name="over", expireAfterSeconds=0)],
    "usage": [
        IndexModel([("user_id", ASCENDING), ("day", ASCENDING), ("cost", ASCENDING)], name="user_day"),
        IndexModel([("day", ASCENDING)], name="day"),
        IndexModel([("job_id", ASCENDING)], name="job"),
        IndexModel([("created_at", ASCENDING)], name="long_gone", expireAfterSeconds=400 * 86_400),
    ],
    "idempotency_keys": [IndexModel([("expires_at", ASCENDING)], name="over", expireAfterSeconds=0)],
    "rate_windows": [IndexModel([("expireAt", ASCENDING)], name="over", expireAfterSeconds=0)],
    "rate_holds": [IndexModel([("until", ASCENDING)], name="over", expireAfterSeconds=0)],
    "relays": [IndexModel([("at", ASCENDING)], name="long_gone", expireAfterSeconds=86_400)],
    "samples": [IndexModel([("at", ASCENDING)], name="over", expireAfterSeconds=86_400)],
    "workers": [IndexModel([("seen_at", ASCENDING)], name="long_gone", expireAfterSeconds=86_400)],
}


class DatabaseUnavailable(Exception):
    """MongoDB does not answer just now. Nothing was lost; try again in a few seconds."""


class Stopwatch:
    """Runs from its making on, but for the time that this machine sleeps."""

    def __init__(self) -> None:
        self._began = monotonic()
        self._clock = time()

    @property
    def seconds(self) -> float:
        return monotonic() - self._began

    @property
    def missed(self) -> float:
        """The seconds that it did not see: the machine slept, or its clock was set."""
        return abs(time() - self._clock - self.seconds)

    def forget_missed(self) -> None:
        self._clock = time() - self.seconds


_answering_since: list[Stopwatch] = []
"""Since when MongoDB answers this process; empty while it does not."""


@contextmanager
def available() -> Iterator[None]:
    """Turn "MongoDB is away" in pymongo's many words into `DatabaseUnavailable`."""
    try:
        yield
    except PyMongoError as error:
        if not _is_away(error):
            raise
        _answering_since.clear()
        raise DatabaseUnavailable(str(error)) from error
    if not _answering_since:
        _answering_since.append(Stopwatch())


def _is_away(error: PyMongoError) -> bool:
    """Whether it passes by itself. A write that its server had, and no majority, is undone where another one takes over."""
    if isinstance(error, BulkWriteError):
        return bool(error.details["writeConcernErrors"])
    return isinstance(error, ConnectionFailure | ExecutionTimeout | WriteConcernError)


def quiet_seconds_left() -> float:
    """For so long this process takes no job over: after MongoDB was away, those who hold jobs renew their leases first.

    So they do after this machine has slept, and perhaps they and MongoDB with it: by MongoDB's clock their leases ran out.
    """
    since = _answering_since[:1]
    if since and since[0].missed > pace().beat:
        _answering_since[:] = since = [Stopwatch()]
    return max(pace().quiet - since[0].seconds, 0) if since else pace().quiet


def forget_sleep() -> None:
    """Only this process was stopped, as that of a Lambda function is between two calls: whoever holds jobs has gone on."""
    for since in _answering_since:
        since.forget_missed()


@dataclass(frozen=True)
class _Told:
    """What MongoDB told of its time, and what has passed since."""

    at: datetime
    since: Stopwatch

    @property
    def now(self) -> datetime:
        return self.at + timedelta(milliseconds=int(self.since.seconds * 1000))  # MongoDB keeps no finer times


class Database:
    """The database of the settings. Collections and indexes are made on first use, so a process starts with MongoDB away."""

    def __init__(self, uri: str, name: str) -> None:
        self._client: MongoClient[Document] = MongoClient(
            uri,
            appname="pressroom",
            tz_aware=True,
            w="majority",
            readPreference="primary",  # what was just written is read back, whatever the address asks for
            connectTimeoutMS=CONNECT_MILLISECONDS,
            socketTimeoutMS=ANSWER_MILLISECONDS,
            serverSelectionTimeoutMS=SELECT_MILLISECONDS,
            serverMonitoringMode="poll",  # errors tell of a lost server as soon; streams cost an idle process two threads
        )
        self._database = self._client[name]
        self._collections: dict[str, Collection[Document]] = {}
        self._told: _Told | None = None
        self._prepared = False
        self._preparing = Lock()

    def collection(self, name: str) -> Collection[Document]:
        """A collection, with its indexes in place."""
        self.prepare()
        if name not in self._collections:  # to make one is more work than a look
            self._collections[name] = self._database[name]
        return self._collections[name]

    def files(self) -> GridFSBucket:
        """The bucket of images and videos where no S3 bucket is set."""
        self.prepare()
        return GridFSBucket(self._database, bucket_name="files")

    def ping(self) -> None:
        """Return when MongoDB answers.

        Raises:
            DatabaseUnavailable: it does not.
        """
        with available():
            self._database.command("ping")

    def now(self) -> datetime:
        """MongoDB's time: as it told it some seconds ago, and what has passed since by this process's stopwatch."""
        if (told := self._told) is None or told.since.seconds > TOLD_SECONDS or told.since.missed > SLEPT_SECONDS:
            return self.ask_now()
        return told.now

    def ask_now(self) -> datetime:
        """MongoDB's time, asked for: no earlier than what is written already. (What is reckoned is behind by as long as the
        answer was on its way.)

        It does not go back behind what was reckoned, where the answer's way explains the difference.
        """
        asked, before = Stopwatch(), self._told
        with available():
            said: datetime = self._database.command("hello")["localTime"].replace(tzinfo=UTC)
        on_its_way = timedelta(milliseconds=int(asked.seconds * 1000))
        now = said if before is None else max(said, min(before.now, said + on_its_way))
        self._told = _Told(now, Stopwatch())
        return now

    def in_transaction(self, write: Callable[[ClientSession], T]) -> T:
        """What `write(session)` answers, its writes done together or not at all. It is called again where another was quicker.

        Raises:
            DatabaseUnavailable: nothing was written, as far as we know.
        """
        self.prepare()
        try:
            with available(), timeout(TRANSACTION_SECONDS), self._client.start_session() as session:
                return session.with_transaction(write)
        except OperationFailure as error:
            if error.has_error_label("TransientTransactionError"):  # so many write here that we did not come to it
                raise DatabaseUnavailable(str(error)) from error
            raise

    def prepare(self) -> None:
        """Make the collections, the validator and the indexes; what stands already costs one look."""
        if self._prepared:
            return
        with self._preparing, available():
            if self._prepared:
                return
            try:
                self._database.create_collection("jobs", validator=JOBS_VALIDATOR, check_exists=False)
            except OperationFailure as error:
                if error.code != NAMESPACE_EXISTS:
                    raise
                self._bring_validator_up_to_date()
            for name, indexes in INDEXES.items():
                self._make_indexes(name, indexes)
            self._prepared = True

    def _bring_validator_up_to_date(self) -> None:
        """Replace the validator of an earlier release. (MongoDB refuses that, equal or not, while an index is being built.)"""
        (found,) = self._database.list_collections(filter={"name": "jobs"})
        if found["options"].get("validator") == JOBS_VALIDATOR:
            return
        try:
            self._database.command("collMod", "jobs", validator=JOBS_VALIDATOR)
        except OperationFailure as error:
            if error.code == INDEX_BEING_BUILT:
                raise DatabaseUnavailable("An index of the jobs is being built; this waits for it.") from error
            raise

    def _make_indexes(self, collection: str, indexes: list[IndexModel]) -> None:
        """Make a collection's indexes, each in the place of one of that name which an earlier release described otherwise."""
        try:
            self._database[collection].create_indexes(indexes)
        except OperationFailure as error:
            if error.code not in INDEX_DIFFERS:
                raise
            if len(indexes) > 1:
                for index in indexes:
                    self._make_indexes(collection, [index])
                return
            with suppress(OperationFailure):  # another process was quicker
                self._database[collection].drop_index(indexes[0].document["name"])
            self._database[collection].create_indexes(indexes)


making = Lock()
"""Held while the process's database is made."""


def database() -> Database:
    """The process's database: one, also for threads that ask for it first at the same moment."""
    with making:
        return _database()


@cache
def _database() -> Database:
    configured = settings()
    return Database(configured.mongodb_uri, configured.mongodb_database)


__all__ = ["EVER", "Database", "DatabaseUnavailable", "Document", "PyMongoError", "available", "database"]
