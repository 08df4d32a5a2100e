"""The text of an article while it is being written, for those who watch.

One document for each job in `texts`: `{_id: job id, token, text}`. It is a view, not the result: losing a piece harms nothing.
"""

from __future__ import annotations

from contextlib import suppress
from time import monotonic

from jobs.database import DatabaseUnavailable, available, database
from jobs.document import Job

FLUSH_SECONDS = 0.5
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
