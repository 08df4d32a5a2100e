"""API keys: who may ask, as whom, and what for. A key is shown once, when it is made; kept is only its SHA-256.

(A fast hash is right here, unlike for passwords: a key is 32 random bytes, which nobody finds by trying, and it is looked up at
each request.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from secrets import token_hex, token_urlsafe
from typing import Any, Self

from pymongo.collection import Collection

from jobs.database import Database, Document, available, database
from jobs.expressions import NOW, ago, new_or_kept
from jobs.moments import Moments
from jobs.roles import Role
from queues.wire import USER_ID_CHARACTERS

PREFIX = "pr_"
"""What every key begins with, so that scanners for secrets can find lost ones."""
SECRET_BYTES = 32
USED_SECONDS = 60
"""When a key was used is written at most so often."""
USER_ID = re.compile(rf"[^\s\x00-\x1f\x7f]{{1,{USER_ID_CHARACTERS}}}")
USER_ID_FORM = f"1 to {USER_ID_CHARACTERS} characters without spaces"


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key as it is kept. `name` is for people: whose, what for."""

    id: str
    user_id: str
    role: Role
    name: str
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        known = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        return cls(**known | {"id": document["_id"], "role": Role(document["role"])})


class Keys:
    """Over one database. Methods raise `DatabaseUnavailable` when MongoDB is away."""

    def __init__(self, source: Database) -> None:
        self._source = source
        self._known: Moments[Key] = Moments(self._find)

    def create(self, user_id: str, role: Role, name: str = "") -> tuple[Key, str]:
        """A new key, and its text, which nobody can see again.

        Raises:
            ValueError: the user's id can't be one; the message says why.
        """
        if not USER_ID.fullmatch(user_id):
            raise ValueError(f"the user {user_id!r} can't be: an id is {USER_ID_FORM}")
        secret = PREFIX + token_urlsafe(SECRET_BYTES)
        key_id = token_hex(6)
        made: Document = {"hash": hashed(secret), "user_id": user_id, "role": role.value, "name": name}
        made |= {"last_used_at": None, "revoked_at": None}
        with available():
            self._keys.update_one({"_id": key_id}, new_or_kept({"_id": key_id, **made}, created_at=NOW), upsert=True)
            document = self._keys.find_one({"_id": key_id})
        assert document is not None
        return Key.from_document(document), secret

    def all(self) -> list[Key]:
        """Every key, revoked ones too, in the order of their users, the oldest first."""
        with available():
            return [Key.from_document(each) for each in self._keys.find().sort([("user_id", 1), ("created_at", 1)])]

    def revoke(self, key_id: str) -> Key | None:
        """End a key, and the sessions begun with it, for good; None: there is no such key. Again, it changes nothing."""
        with available():
            self._keys.update_one({"_id": key_id, "revoked_at": None}, [{"$set": {"revoked_at": NOW}}])
            document = self._keys.find_one({"_id": key_id})
        return Key.from_document(document) if document else None

    def of(self, secret: str) -> Key | None:
        """The key with this text, unless it is revoked, as it was within the last seconds."""
        return self._known(hashed(secret)) if secret.startswith(PREFIX) else None

    def _find(self, secret_hash: str) -> Key | None:
        is_due = {"$lte": ["$last_used_at", ago(USED_SECONDS)]}  # null comes before all times
        with available():
            looked: list[Document] = [{"$match": {"hash": secret_hash, "revoked_at": None}}, {"$set": {"is_due": is_due}}]
            document = next(self._keys.aggregate(looked), None)
            if document is not None and document["is_due"]:
                guard = {"_id": document["_id"], "$expr": is_due}
                self._keys.update_one(guard, [{"$set": {"last_used_at": NOW}}])
        return Key.from_document(document) if document else None

    @property
    def _keys(self) -> Collection[Document]:
        return self._source.collection("keys")


def hashed(secret: str) -> str:
    """What is kept of a secret."""
    return sha256(secret.encode()).hexdigest()


@cache
def keys() -> Keys:
    """The process's keys."""
    return Keys(database())
