"""Failed jobs with their dead letters, and other messages in the dead-letter queues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.document import Job
from jobs.effects import perform_pending_of
from jobs.life import Status
from jobs.store import store
from queues.queue import Message, Outgoing, dead_letters_of
from tests.jobs.jobs import TOKEN
from tests.jobs.waiting import put, read

REFUSED = "provider_refused"


def fail(database: Any, code: str = REFUSED, message: str = "No.", *, letter: bool = True, **fields: Any) -> Job:
    """A job that has just failed; without `letter` its dead letter is still to be sent."""
    job = put(database, Status.PROCESSING, **fields)
    assert store().fail(job.id, TOKEN, code=code, message=message, retryable=False)
    if letter:
        perform_pending_of(job.id)
    return read(job.id)


def lay(body: str, kind: str = "articles", **attributes: str) -> str:
    """A message in the dead-letter queue; its id."""
    typed = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
    return dead_letters_of(kind).send(Outgoing(body, typed))


def letters(kind: str = "articles") -> list[Message]:
    """What lies in the dead-letter queue; visible again at the end."""
    queue = dead_letters_of(kind)
    found: list[Message] = []
    while more := queue.receive(10, visibility_seconds=60, wait_seconds=0):
        found += more
    queue.change_visibility({message.receipt_handle: 0 for message in found})
    return found


def history(job_id: str) -> list[Mapping[str, Any]]:
    return read(job_id).history
