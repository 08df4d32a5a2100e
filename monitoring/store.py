"""The monitor's store in MongoDB: two capped collections, to which everybody appends and which everybody reads from now on.

What is not read in time is overwritten, so nobody who sleeps costs anything. Control is kept apart from events, so that no
burst of events drowns a command. The client is its own, and patient with nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import pymongo.uri_parser
from bson import Timestamp
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from settings import settings

Document = dict[str, Any]

EVENTS, CONTROL = "monitor_events", "monitor_control"
MOST_BYTES = 16 * 2**20
"""What each of the collections holds: some 20,000 events."""
SELECT_MILLISECONDS = 1_000
ANSWER_MILLISECONDS = 5_000
SERVERS_TIME = Timestamp(0, 0)
"""MongoDB replaces it, at an insert, by a time of its own that is never given twice."""
NAMESPACE_EXISTS = 48


class MonitorStore:
    """Methods raise pymongo's errors. Whatever was dropped or emptied meanwhile is made anew."""

    def __init__(self, uri: str, database: str) -> None:
        self.uri = uri
        self._client: MongoClient[Document] = MongoClient(
            uri,
            appname="pressroom-monitor",
            w=1,
            connectTimeoutMS=SELECT_MILLISECONDS,
            serverSelectionTimeoutMS=SELECT_MILLISECONDS,
            socketTimeoutMS=ANSWER_MILLISECONDS,
            serverMonitoringMode="poll",  # else two more threads watch over the servers, and wake twice a second
        )
        self._database = self._client[database]
        self._prepared: set[str] = set()

    @property
    def address(self) -> str:
        """Where it is, without a password."""
        return f"mongodb://{urlsplit(self.uri).netloc.rpartition('@')[2]}/{self._database.name}"

    def ping(self) -> None:
        """Return when it answers."""
        self._database.command("ping")

    def append(self, name: str, document: Mapping[str, Any]) -> None:
        self.collection(name).insert_one({"at": SERVERS_TIME, **document})

    def end(self, name: str) -> Timestamp:
        """The place of the newest document: what comes after it is new."""
        return self._place(self.collection(name), -1)

    def beginning(self, name: str) -> Timestamp:
        """The place of the oldest document that is not overwritten."""
        return self._place(self.collection(name), 1)

    def collection(self, name: str) -> Collection[Document]:
        """The collection: capped, and never empty, because a tailable cursor on an empty one is dead at once."""
        if name not in self._prepared:
            self._prepare(name)
            self._prepared.add(name)
        return self._database[name]

    def look_again(self, name: str) -> None:
        """Something is wrong with the collection; look at the next use whether it is as it should be."""
        self._prepared.discard(name)

    def _prepare(self, name: str) -> None:
        collection = self._database[name]
        try:
            self._database.create_collection(name, capped=True, size=MOST_BYTES, check_exists=False)
        except OperationFailure as error:
            if error.code != NAMESPACE_EXISTS:
                raise
            if not collection.options().get("capped"):  # dropped under us, and made anew by an insert
                self._database.command("convertToCapped", name, size=MOST_BYTES)
        if collection.find_one({}, {"_id": True}) is None:
            collection.insert_one({"at": SERVERS_TIME})

    def _place(self, collection: Collection[Document], direction: int) -> Timestamp:
        found = collection.find_one({}, {"at": True}, sort=[("$natural", direction)])
        place: Timestamp = found["at"] if found else Timestamp(0, 1)
        return place


@cache
def monitor_store() -> MonitorStore:
    """The process's store: the database that MONITOR_URL names, by default the jobs'."""
    configured = settings()
    uri = configured.monitor_url or configured.mongodb_uri
    named = pymongo.uri_parser.parse_uri(uri, validate=False).get("database") if configured.monitor_url else None
    return MonitorStore(uri, named or configured.mongodb_database)
