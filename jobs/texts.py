"""The text of an article while it is being written, for those who watch.

One document for each job in `texts`: `{_id: job id, token, text}`. It is a view, not the result: losing a piece harms nothing.
"""

from __future__ import annotations

from time import monotonic

from jobs.database import DatabaseUnavailable, available, database
from jobs.document import Job

FLUSH_SECONDS = 0.5


class TextStream:
    """Gathers an attempt's text and writes it at most twice a second."""

    def __init__(self, job: Job) -> None:
        assert job.lease is not None
        self._job = job
        self._token = job.lease.token
        self._text = ""
        self._written = -1
        self._written_at = 0.0

    def begin(self, text: str) -> None:
        """Start from what an earlier attempt had written."""
        self._text = text

    def add(self, piece: str) -> None:
        self._text += piece
        if monotonic() - self._written_at >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered, if there is anything new."""
        if len(self._text) == self._written:
            return
        self._written_at = monotonic()
        try:
            with available():
                database().collection("texts").update_one(
                    {"_id": self._job.id},
                    {"$set": {"token": self._token, "user_id": self._job.user_id, "text": self._text}},
                    upsert=True,
                )
        except DatabaseUnavailable:
            return  # the next piece tries again; the result does not depend on it
        self._written = len(self._text)


def text_so_far(job: Job) -> str:
    """What was written of the job's article so far; empty if nothing was."""
    with available():
        document = database().collection("texts").find_one({"_id": job.id, "user_id": job.user_id}, {"text": 1})
    return str(document["text"]) if document else ""
