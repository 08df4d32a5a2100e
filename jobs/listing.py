"""Lists of jobs, the newest first, page by page. Every list is served by an index, however many jobs there are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pymongo import DESCENDING

from jobs.cursor import read_cursor, write_cursor
from jobs.database import Document, available, database
from jobs.document import Job
from jobs.life import Status
from jobs.search import words
from queues.catalogue import KINDS

MOST_MILLISECONDS = 4_000
NEWEST_FIRST = [("created_at", DESCENDING), ("_id", DESCENDING)]
ID_BEGINS = re.compile(r"[A-Za-z0-9_-]{4,64}")
"""A text that may be the beginning of a job's id."""
AFTER_IDS = "\x7f"
"""Sorts behind every character of an id."""


class NothingToFind(ValueError):
    """The text holds no word. Send the beginning of a word of the job's title, topic or prompt, or of its id."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which jobs are meant. What is left out is no condition."""

    user_id: str | None
    """None: everybody's."""
    kind: str | None = None
    """None: all but the internal ones, which other jobs bring about, and those of `without`."""
    without: tuple[str, ...] = ()
    status: Status | None = None
    text: str | None = None
    """The job has a word that begins like each of this text's, or an id that begins like the text."""

    def filter(self) -> Document:
        """The jobs meant, as MongoDB asks for them: with every field of the index, so that its order serves."""
        meant: Document = {} if self.user_id is None else {"user_id": self.user_id}
        shown = [kind.name for kind in KINDS.values() if not kind.internal and kind.name not in self.without]
        meant |= {"kind": {"$in": [self.kind] if self.kind else shown}}
        meant |= {"status": {"$in": [self.status.value] if self.status else [status.value for status in Status]}}
        if self.text is not None:
            ways = [*self._ways(self.text)]
            if not ways:
                raise NothingToFind(NothingToFind.__doc__)
            owner = {} if self.user_id is None else {"user_id": self.user_id}
            meant["$or"] = [owner | way for way in ways]
        return meant

    def _ways(self, text: str) -> Iterator[Document]:
        """By a word, by an id: each is served by an index of its own."""
        if begins := ID_BEGINS.fullmatch(text.strip()):
            yield {"_id": {"$gte": begins[0], "$lt": begins[0] + AFTER_IDS}}
        if asked := sorted({*words(text)}, key=len, reverse=True):
            # the longest is the rarest: its entries are read, the others looked up in what they lead to
            begun: list[Document] = [{"search": {"$regex": f"^{re.escape(word)}"}} for word in asked]
            yield begun[0] | ({"$and": begun[1:]} if begun[1:] else {})


def page(selection: Selection, *, cursor: str | None = None, limit: int = 50) -> tuple[list[Job], str | None]:
    """A page of jobs, and the cursor of the next page (None: this was the last).

    Raises:
        BadCursor: the cursor is not one of ours.
        NothingToFind: the text to search for has no word.
        DatabaseUnavailable: MongoDB is away, or too busy to search.
    """
    wanted = selection.filter()
    if cursor:
        created_at, job_id = read_cursor(cursor)
        # the first condition is a bound of the index, the second is asked of what lies within it
        wanted["created_at"] = {"$lte": created_at}
        wanted["$and"] = [{"$or": [{"created_at": {"$lt": created_at}}, {"_id": {"$lt": job_id}}]}]
    index = None if selection.text is not None else "kind_status" if selection.user_id is None else "user_newest"
    with available():
        found = database().collection("jobs").find(wanted, hint=index, max_time_ms=MOST_MILLISECONDS)
        documents = list(found.sort(NEWEST_FIRST).limit(limit + 1))
    jobs = [Job.from_document(document) for document in documents[:limit]]
    return jobs, write_cursor(jobs[-1]) if len(documents) > limit else None


def these(job_ids: Sequence[str], user_id: str) -> dict[str, Job]:
    """Those of a user's jobs with these ids that there are, by their ids.

    Raises:
        DatabaseUnavailable: MongoDB is away.
    """
    with available():
        found = database().collection("jobs").find({"_id": {"$in": list(job_ids)}, "user_id": user_id}, hint="_id_")
        return {document["_id"]: Job.from_document(document) for document in found}
