"""Sessions of browsers, begun with a key. The browser holds a random token; kept is only its SHA-256."""

from __future__ import annotations

from functools import cache
from secrets import token_urlsafe

from pymongo.collection import Collection

from jobs.database import Database, Document, available, database
from jobs.expressions import NOW, later, literal
from jobs.keys import Key, hashed
from jobs.moments import Moments

IDLE_SECONDS = 12 * 3600
"""A session that nobody uses for so long is over. MongoDB deletes it."""
PROLONGED_SECONDS = 300
"""That it was used is written at most so often."""
TOKEN_BYTES = 32


class Sessions:
    """Over one database. Methods raise `DatabaseUnavailable` when MongoDB is away."""

    def __init__(self, source: Database) -> None:
        self._source = source
        self._known: Moments[Key] = Moments(self._find)

    def begin(self, key: Key) -> str:
        """Begin a session of the key's holder; its token."""
        token = token_urlsafe(TOKEN_BYTES)
        begun = {"key_id": literal(key.id), "expires_at": later(IDLE_SECONDS)}
        with available():
            self._sessions.update_one({"_id": hashed(token)}, [{"$set": begun}], upsert=True)
        return token

    def key_of(self, token: str) -> Key | None:
        """The key that the session was begun with; None once the session is over or the key is revoked."""
        return self._known(hashed(token))

    def end(self, token: str) -> None:
        """End the session, if it still stands."""
        with available():
            self._sessions.delete_one({"_id": hashed(token)})
        self._known.forget(hashed(token))

    def _find(self, token_hash: str) -> Key | None:
        stands = {"$gt": ["$expires_at", NOW]}
        is_due = {"$lt": ["$expires_at", later(IDLE_SECONDS - PROLONGED_SECONDS)]}
        looked: list[Document] = [
            {"$match": {"_id": token_hash, "$expr": stands}},
            {"$lookup": {"from": "keys", "localField": "key_id", "foreignField": "_id", "as": "key"}},
            {"$match": {"key.revoked_at": None}},
            {"$set": {"is_due": is_due}},
        ]
        with available():
            document = next(self._sessions.aggregate(looked), None)
            if document is None or not document["key"]:
                return None
            if document["is_due"]:
                prolonged = [{"$set": {"expires_at": later(IDLE_SECONDS)}}]
                self._sessions.update_one({"_id": token_hash, "$expr": {"$and": [stands, is_due]}}, prolonged)
        return Key.from_document(document["key"][0])

    @property
    def _sessions(self) -> Collection[Document]:
        return self._source.collection("sessions")


@cache
def sessions() -> Sessions:
    """The process's sessions."""
    return Sessions(database())
