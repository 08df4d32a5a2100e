"""Put a message that nobody can work on into its queue's dead-letter queue, with the reason."""

from __future__ import annotations

from typing import Any

import structlog

from queues.clients import QueueError, QueueMissing
from queues.limits import MESSAGE_ATTRIBUTES
from queues.queue import Message, Outgoing, dead_letters_of

log = structlog.get_logger()

REASON_CHARACTERS = 500

_told: set[str] = set()
"""The kinds whose dead-letter queue was said to take nothing, until it takes something."""


def set_aside(kind: str, message: Message, reason: str, job_id: str = "") -> bool:
    """Send a copy of `message`, its attributes and the reason to the dead letters of `kind`; whether they took it.

    Where they did not, the message should be left: it comes again, and at its last receive SQS itself moves it.
    """
    about = {"kind": kind, "message_id": message.message_id, **({"job_id": job_id} if job_id else {})}
    try:
        dead_letters_of(kind).send(Outgoing(message.body, _with_reason(message, reason)))
    except QueueError as error:
        if kind not in _told:
            _told.add(kind)
            way_out = "" if isinstance(error, QueueMissing) else " It is tried again with each of them."
            log.error(
                f"the dead-letter queue takes nothing: messages to set aside stay where they are.{way_out}",
                reason=str(error),
                **about,
            )
        return False
    _told.discard(kind)
    log.error("message set aside", reason=reason, **about)
    return True


def _with_reason(message: Message, reason: str) -> dict[str, Any]:
    attributes = {name: value for name, value in message.typed_attributes.items() if name != "Reason"}
    kept = list(attributes.items())[: MESSAGE_ATTRIBUTES - 1]
    return {**dict(kept), "Reason": {"DataType": "String", "StringValue": reason[:REASON_CHARACTERS]}}
