"""The moving windows of rate limits, in MongoDB: where the library `limits` keeps which calls were made in the last minute."""

from __future__ import annotations

import time

from limits.storage import MongoDBStorage
from pymongo import ReturnDocument
from pymongo.collection import Collection

from jobs.database import Database, Document
from jobs.expressions import NOW, later


class Windows(MongoDBStorage):
    """The library's storage over our own client, and by MongoDB's clock instead of the workers'.

    (With the workers', a single one whose clock is an hour fast would shut the window to all for an hour.)
    """

    def __init__(self, source: Database) -> None:
        super().__init__("mongodb://")
        self._source = source

    def __del__(self) -> None:
        """The client is not ours to close."""

    @property
    def windows(self) -> Collection[Document]:
        return self._source.collection("rate_windows")

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        has_room = {"$lte": [{"$add": [{"$size": "$entries"}, amount]}, limit]}
        added = {"$concatArrays": ["$entries", [NOW] * amount]}
        window = self.windows.find_one_and_update(
            {"_id": key},
            [
                {"$set": {"entries": _still_counted(expiry)}},
                {"$set": {"acquired": has_room}},
                {"$set": {"entries": {"$cond": ["$acquired", added, "$entries"]}, "expireAt": later(expiry)}},
            ],
            projection=["acquired"],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return bool(window and window["acquired"])

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """As the library wants it: when the oldest entry was made, by this process's clock, and how many there are."""
        entries = _still_counted(expiry)
        age = {"$subtract": [NOW, {"$ifNull": [{"$min": entries}, NOW]}]}
        shown = {"$project": {"age": age, "count": {"$size": entries}}}
        window = next(self.windows.aggregate([{"$match": {"_id": key}}, shown]), {"age": 0, "count": 0})
        return time.time() - window["age"] / 1000, window["count"]


def _still_counted(expiry: int) -> Document:
    made_since = {"$gt": ["$$this", {"$subtract": [NOW, expiry * 1000]}]}
    return {"$filter": {"input": {"$ifNull": ["$entries", []]}, "cond": made_since}}
