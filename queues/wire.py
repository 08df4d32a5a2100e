"""What a message says: "look at this job", as plain JSON that any language can read.

    {"jobId": "…", "userId": "…", "type": "articles", "timestamp": "2025-01-15T10:30:00Z", "version": "1"}

with the attributes `JobType` and `Priority`. `timestamp` is the time of the send.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from queues.catalogue import KINDS

VERSION = "1"
JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class MalformedMessage(Exception):
    """The message can't be read as one of ours; the text says why."""


class UnknownVersion(MalformedMessage):
    """A newer release wrote the message: a worker of that release can read it."""


@dataclass(frozen=True)
class JobMessage:
    """The body of a message."""

    job_id: str
    user_id: str
    kind: str
    sent_at: datetime | None = field(default=None, compare=False)
    """The body's `timestamp`: when its sender sent it, by the sender's clock. None where it says nothing usable."""

    def body(self) -> str:
        sent = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return json.dumps(
            {"jobId": self.job_id, "userId": self.user_id, "type": self.kind, "timestamp": sent, "version": VERSION}
        )


def attributes(kind: str, priority: str) -> dict[str, Any]:
    """The message attributes of a job, as boto3 takes them."""
    return {
        "JobType": {"DataType": "String", "StringValue": kind},
        "Priority": {"DataType": "String", "StringValue": priority},
    }


def decode(body: str) -> JobMessage:
    """Read a body.

    Raises:
        UnknownVersion: another release's message, whose other fields are not looked at.
        MalformedMessage: it is not JSON, or a field is missing or wrong; the message names the field.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"the body is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise MalformedMessage("the body is not a JSON object")
    version = content.get("version", VERSION)
    if version != VERSION:
        raise UnknownVersion(f"field version is {version!r}; this release reads {VERSION!r}")
    job_id, user_id, kind = (_text(content, field) for field in ("jobId", "userId", "type"))
    if not JOB_ID.fullmatch(job_id):
        raise MalformedMessage("field jobId is not 1 to 64 of A-Z a-z 0-9 _ -")
    if kind not in KINDS:
        raise MalformedMessage(f"field type is {kind!r}; there are {', '.join(KINDS)}")
    return JobMessage(job_id, user_id, kind, _time(content.get("timestamp")))


def _text(content: dict[str, Any], field: str) -> str:
    value = content.get(field)
    if not isinstance(value, str) or not value:
        raise MalformedMessage(f"field {field} is missing or not a text")
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair: JSON can say it, nothing behind us can
        raise MalformedMessage(f"field {field} is not valid Unicode") from None
    return value


def _time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
        return time.astimezone(UTC) if time and time.tzinfo else None
    except (ValueError, OverflowError):
        return None
