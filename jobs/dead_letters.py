"""Dead letters whose job has got on without them."""

from __future__ import annotations

from collections.abc import Callable

from jobs.database import available, database
from jobs.life import WAITING, Status
from jobs.store import store
from queues.queue import Message, dead_letters_of
from queues.wire import JobMessage, MalformedMessage, decode

LOOK_SECONDS = 60
"""How long a look keeps dead letters from others, at the most."""
MOST_RECEIVES = 100
KEPT = frozenset({Status.FAILED.value, Status.EXPIRED.value})
"""A job that ended like this may still be sent back."""


def drop_settled(kind: str, is_stopped: Callable[[], bool] = lambda: False) -> int:
    """Delete the dead letters of a kind whose job is completed, cancelled, or on its way again; their number.

    The others can be received again at once.

    Raises:
        QueueError, DatabaseUnavailable
    """
    queue = dead_letters_of(kind)
    kept: dict[str, int] = {}
    dropped = 0
    try:
        for _ in range(MOST_RECEIVES):
            messages = queue.receive(10, visibility_seconds=LOOK_SECONDS, wait_seconds=0)
            if not messages or is_stopped():
                break
            kept |= {message.receipt_handle: 0 for message in messages}
            settled = _settled(messages)
            queue.delete(settled)
            for handle in settled:
                del kept[handle]
            dropped += len(settled)
    finally:
        if kept:
            queue.change_visibility(kept)
    return dropped


def _settled(messages: list[Message]) -> list[str]:
    """The receipt handles of those that nobody needs any more."""
    read = [(message, body.job_id) for message in messages if (body := _read(message))]
    wanted = {"_id": {"$in": [job_id for _, job_id in read]}}
    with available():
        found = database().collection("jobs").find(wanted, {"status": 1, "message_id": 1})
        jobs = {job["_id"]: job for job in found}
    settled = []
    for message, job_id in read:
        job = jobs.get(job_id)
        if job is not None and job["status"] not in KEPT:
            if job["status"] in WAITING and job["message_id"] == message.message_id:
                # SQS has made a dead letter of the very message that the job waits for: another must come.
                store().forget_message(job_id, message.message_id)
            settled.append(message.receipt_handle)
    return settled


def _read(message: Message) -> JobMessage | None:
    try:
        return decode(message.body)
    except MalformedMessage:
        return None
