"""What is appended to the monitor's store from now on, read by a tailable cursor that is opened again whenever it dies.

Cursors die for good reasons: the collection was empty, a reader was overtaken by a burst, MongoDB was away. kombu's own
transport takes a dead one for a quiet one, and is deaf from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import sleep
from typing import Any

import structlog
from pymongo.cursor import Cursor, CursorType
from pymongo.errors import ConnectionFailure, OperationFailure

from monitoring.store import Document, MonitorStore

log = structlog.get_logger()

BETWEEN_TRIES_SECONDS = 0.25
"""How long a reader waits before it opens a cursor in the place of one that died."""


class Tail:
    """The documents of a collection that have `wanted`, from the making of this on. For one thread."""

    def __init__(self, store: MonitorStore, name: str, wanted: Mapping[str, str], await_seconds: float) -> None:
        self._store = store
        self._name = name
        self._wanted = dict(wanted)
        self._await_milliseconds = round(await_seconds * 1000)
        self._seen = store.end(name)
        self._cursor: Cursor[Document] | None = None
        self._is_away = False

    def next(self) -> dict[str, Any] | None:
        """The next document; None where none came within `await_seconds`, or the store does not answer just now."""
        try:
            cursor = self._cursor = self._cursor or self._open()
            document = next(cursor, None)
        except OperationFailure as error:
            self._lose(str(error))
            return None
        except ConnectionFailure as error:
            if not self._is_away:
                log.warning("the monitor's store does not answer; trying on", reason=str(error)[:200])
            self._is_away = True
            self._lose("")
            return None
        if document is None and not cursor.alive:
            self._lose("the collection was emptied")
        if document is not None:
            self._seen = document["at"]
        return document

    def close(self) -> None:
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None

    def _open(self) -> Cursor[Document]:
        """A cursor behind the last document that was read; said, if some after it are overwritten already."""
        collection = self._store.collection(self._name)
        oldest = self._store.beginning(self._name)
        if oldest > self._seen:
            log.warning(
                "the monitor was overtaken; what was said meanwhile is skipped",
                collection=self._name,
                skipped_seconds=oldest.time - self._seen.time,
            )
        if self._is_away:
            log.info("the monitor's store answers again")
            self._is_away = False
        after = {"$gt": self._seen}
        found = collection.find({"at": after, **self._wanted}, cursor_type=CursorType.TAILABLE_AWAIT)
        return found.max_await_time_ms(self._await_milliseconds)

    def _lose(self, reason: str) -> None:
        if reason:
            log.debug("a tailable cursor died", collection=self._name, reason=reason)
        self._store.look_again(self._name)
        cursor, self._cursor = self._cursor, None
        if cursor is not None and not self._is_away:
            cursor.close()
        sleep(BETWEEN_TRIES_SECONDS)
