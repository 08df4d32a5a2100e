"""What came into the dead-letter queues. Letters are taken out as they are read: the queues are the verification's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from threading import Lock

from queues.catalogue import KINDS
from queues.queue import Message, dead_letters_of

VISIBILITY_SECONDS = 60


@dataclass(frozen=True)
class DeadLetter:
    """One of them: the job it names, if it can be read, the reason it came with, and the message's body."""

    kind: str
    job_id: str | None
    reason: str
    body: str


class DeadLetters:
    """All dead letters so far."""

    def __init__(self) -> None:
        self._read: list[DeadLetter] = []
        self._reading = Lock()

    def all(self) -> list[DeadLetter]:
        """Those read before, and what has come since."""
        with self._reading:
            for kind in KINDS:
                queue = dead_letters_of(kind)
                while messages := queue.receive(10, visibility_seconds=VISIBILITY_SECONDS, wait_seconds=0):
                    self._read += [_letter(kind, message) for message in messages]
                    queue.delete([message.receipt_handle for message in messages])
            return list(self._read)


def _letter(kind: str, message: Message) -> DeadLetter:
    try:
        body = json.loads(message.body)
    except ValueError:
        body = None
    job_id = body.get("jobId") if isinstance(body, dict) else None
    return DeadLetter(kind, job_id if isinstance(job_id, str) else None, message.attributes.get("Reason", ""), message.body)
