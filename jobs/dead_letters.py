"""Dead letters, joined with the jobs they are about; and the end of those whose job has got on without them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jobs.database import available, database
from jobs.life import WAITING, Status
from jobs.store import store
from queues.browsing import Browser
from queues.queue import Message, dead_letters_of
from queues.wire import JobMessage, MalformedMessage, decode, job_id_for

MOST_PAGES = 100
"""A relay looks at so many pages of letters at once."""
KEPT = frozenset({Status.FAILED.value, Status.EXPIRED.value})
"""A job that ended like this may still be sent back."""
ABOUT_JOBS = ("user_id", "kind", "status", "error", "message_id", "finished_at", "priority")


@dataclass(frozen=True)
class DeadLetter:
    """A message in a dead-letter queue, and the job it is about, if there is one: the fields of `ABOUT_JOBS` and `_id`."""

    kind: str
    message: Message
    said: JobMessage | None
    """What it says. None: it can't be read."""
    fault: str
    """Why it can't be read."""
    job: Mapping[str, Any] | None

    @property
    def reason(self) -> str:
        """Why it was set aside. Empty where SQS moved it by itself."""
        return self.message.attributes.get("Reason", "")

    @property
    def sent_at(self) -> datetime:
        """When its message was sent, by SQS's clock."""
        return datetime.fromtimestamp(self.message.sent_milliseconds / 1000, UTC)

    @property
    def is_settled(self) -> bool:
        """Nobody needs it any more: its job has got on without it, or an operator has dropped it."""
        if self.job is None or not self.speaks_of_its_job:
            return False
        return self.job["status"] not in KEPT or is_dropped(self.job)

    @property
    def speaks_of_its_job(self) -> bool:
        """Whether the job that has its id is its own: an order that was refused may name the id of another."""
        if self.said is None or self.job is None or self.job["kind"] != self.kind:
            return False
        return self.said.order is None or (not self.reason and self.said.job_id == job_id_for(self.message.message_id))


def is_dropped(job: Mapping[str, Any]) -> bool:
    """Whether an operator has dropped a failed job's dead letters."""
    return bool((job["error"] or {}).get("dropped"))


def letters_of(kind: str, messages: Sequence[Message]) -> list[DeadLetter]:
    """The messages with the jobs that they are about."""
    read = [(message, *_read(message)) for message in messages]
    jobs = jobs_named(said.job_id for _, said, _ in read if said)
    return [DeadLetter(kind, message, said, fault, jobs.get(said.job_id) if said else None) for message, said, fault in read]


def jobs_named(job_ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """What is to know about these jobs, by their ids."""
    with available():
        found = database().collection("jobs").find({"_id": {"$in": list(job_ids)}}, dict.fromkeys(ABOUT_JOBS, 1))
        return {job["_id"]: job for job in found}


def forget_letter(letter: DeadLetter) -> None:
    """Before a letter is deleted: where it is the very message that its job waits for, another must come."""
    job = letter.job
    if job is not None and job["status"] in WAITING and job["message_id"] == letter.message.message_id:
        store().forget_message(job["_id"], letter.message.message_id)


def drop_settled(kind: str, is_stopped: Callable[[], bool] = lambda: False) -> int:
    """Delete the dead letters of a kind whose job is completed, cancelled, or on its way again; their number.

    The others can be received again at once.

    Raises:
        QueueError, DatabaseUnavailable
    """
    dropped = 0
    with Browser(dead_letters_of(kind), wait_seconds=0) as browser:
        for page, messages in enumerate(browser.pages(), start=1):
            if is_stopped():
                break
            settled = [letter for letter in letters_of(kind, messages) if letter.is_settled]
            for letter in settled:
                forget_letter(letter)
            browser.delete(letter.message for letter in settled)
            dropped += len(settled)
            if page >= MOST_PAGES:
                break
    return dropped


def _read(message: Message) -> tuple[JobMessage | None, str]:
    try:
        return decode(message.body, message.message_id), ""
    except MalformedMessage as error:
        return None, str(error)
