"""The text of an article while it is being written, for those who watch.

One document for each job in `texts`: `{_id: job id, token, text}`. It is a view, not the result: losing a piece harms nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from time import monotonic
from zlib import crc32

from jobs.database import DatabaseUnavailable, available, database
from jobs.document import Job

FLUSH_SECONDS = 0.5
MARK = r"([0-9]{1,9})(?:\.([0-9a-f]{8}))?"
"""What a reader says of the text it has: how long it is, and a checksum, which may be left out."""
AWAY_SECONDS = 5
"""With MongoDB away nothing is written for so long: each try would hold up the attempt."""


class TextStream:
    """Gathers an attempt's text and writes it at most twice a second, for as long as no later attempt has begun.

    What an earlier attempt had written stays to be read until this one's text is longer, or turns out to be another.
    """

    def __init__(self, job: Job) -> None:
        assert job.lease is not None
        self._own = {"_id": job.id, "token": job.lease.token}
        self._text = ""
        self._shown = ""
        self._written_at = 0.0
        with suppress(DatabaseUnavailable), available():
            before = (
                database()
                .collection("texts")
                .find_one_and_update(
                    {"_id": job.id},
                    {"$set": {"token": job.lease.token, "user_id": job.user_id}, "$setOnInsert": {"text": ""}},
                    upsert=True,
                )
            )
            self._shown = before["text"] if before else ""

    def add(self, piece: str) -> None:
        self._text += piece
        if monotonic() - self._written_at >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered since the last time. With MongoDB away the next flush makes up for it."""
        if self._shown.startswith(self._text):
            return
        try:
            with available():
                database().collection("texts").update_one(self._own, {"$set": {"text": self._text}})
        except DatabaseUnavailable:
            self._written_at = monotonic() + AWAY_SECONDS
        else:
            self._shown, self._written_at = self._text, monotonic()


def text_so_far(job: Job) -> str:
    """What was written of the job's article so far; empty if nothing was."""
    with available():
        document = database().collection("texts").find_one({"_id": job.id, "user_id": job.user_id}, {"text": 1})
    return str(document["text"]) if document else ""


def texts_of(jobs: Iterable[Job]) -> dict[str, str]:
    """What was written of each of these jobs so far, by their ids, in one request."""
    owners = {job.id: job.user_id for job in jobs}
    if not owners:
        return {}
    with available():
        found = list(database().collection("texts").find({"_id": {"$in": [*owners]}}, {"text": 1, "user_id": 1}))
    written = {text["_id"]: str(text["text"]) for text in found if text.get("user_id") == owners[text["_id"]]}
    return dict.fromkeys(owners, "") | written


@dataclass(frozen=True)
class Piece:
    """A part of a text: what a reader has is to be cut off at `offset`, and `text` to follow there.

    Lengths and offsets are counted as JavaScript, Java and C# count them, in UTF-16 code units.
    """

    offset: int
    text: str


def lacking(now: str, known: str) -> Piece | None:
    """What a reader lacks who has `known`; None: nothing. A text that was replaced begins before the end of `known`."""
    if now == known:
        return None
    begin = len(known) if now.startswith(known) else sum(1 for _ in takewhile(_are_equal, zip(now, known, strict=False)))
    return Piece(_length(now[:begin]), now[begin:])


def mark(text: str) -> str:
    """What a reader of `text` can give back to get no more than what it lacks."""
    return f"{_length(text)}.{crc32(text.encode()):08x}"


def known_by(marked: str, text: str) -> str:
    """The beginning of `text` that a reader has who gave this mark; empty where it has another text, or the mark is none."""
    read = re.fullmatch(MARK, marked)
    if read is None or int(read[1]) > _length(text):
        return ""
    known = text.encode("utf-16-le")[: 2 * int(read[1])].decode("utf-16-le", errors="ignore")
    return known if read[2] in (None, mark(known).partition(".")[2]) else ""


def _are_equal(pair: tuple[str, str]) -> bool:
    return pair[0] == pair[1]


def _length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
