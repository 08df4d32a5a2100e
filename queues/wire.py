"""What a message says, as plain JSON that any language can read, and the one decoder of it.

Ours says "look at this job":

    {"jobId": "…", "userId": "…", "type": "articles", "timestamp": "2025-01-15T10:30:00Z", "version": "1"}

with the attributes `JobType` and `Priority`. `timestamp` is the time of the send. Anybody else's orders a job; it needs no
attributes, and `jobId` and `timestamp` may be left out:

    {"type": "articles", "userId": "…", "payload": {…}, "jobId": "…", "timestamp": "…"}

Celery's own envelope orders one too (`queues.envelope`).
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from queues import envelope
from queues.catalogue import KINDS

VERSION = "1"
JOB_ID_CHARACTERS = 64
JOB_ID = re.compile(rf"[A-Za-z0-9_-]{{1,{JOB_ID_CHARACTERS}}}")
JOB_ID_FORM = f"1 to {JOB_ID_CHARACTERS} of A-Z a-z 0-9 _ -"
USER_ID_CHARACTERS = 256
FIELDS_OF_ORDERS = frozenset({"type", "userId", "payload", "jobId", "timestamp", "version"})


class MalformedMessage(Exception):
    """The message can't be read as one of ours; the text says why."""


class UnknownVersion(MalformedMessage):
    """A newer release wrote the message: a worker of that release can read it."""


@dataclass(frozen=True)
class Ordered:
    """What a message orders, as its sender wrote it. Nobody has looked yet whether the kind takes such a payload."""

    payload: Mapping[str, Any]
    run_at: datetime | None = None
    expires_at: datetime | None = None
    ignored: tuple[str, ...] = ()
    """Fields that mean nothing here."""


@dataclass(frozen=True)
class JobMessage:
    """What a message says."""

    job_id: str
    user_id: str
    kind: str
    sent_at: datetime | None = field(default=None, compare=False)
    """The body's `timestamp`: when its sender sent it, by the sender's clock. None where it says nothing usable."""
    order: Ordered | None = None
    """What it orders, where it does not speak of a job that is there already. `job_id` is the job's id to be."""

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


def decode(body: str, message_id: str = "") -> JobMessage:
    """Read a body. An order that names no job id gets SQS's id of the message, so it is one job however often it comes.

    Raises:
        UnknownVersion: another release's message, whose other fields are not looked at.
        MalformedMessage: it is not JSON, or a field is missing or wrong; the message names the field.
    """
    content = _content(body)
    if envelope.is_envelope(content):
        return _called(content)
    version = content.get("version", VERSION)
    if version != VERSION:
        raise UnknownVersion(f"field version is {version!r}; this release reads {VERSION!r}")
    if "payload" in content:
        return _ordered(content, message_id)
    if "jobId" not in content:
        raise MalformedMessage("there is neither field jobId nor field payload")
    job_id, user_id, kind = (_text(content, field) for field in ("jobId", "userId", "type"))
    return JobMessage(_job_id(job_id), user_id, _kind(kind), _time(content.get("timestamp")))


def job_id_for(message_id: str) -> str:
    """The id of the job that a message orders which names none."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", message_id)[:JOB_ID_CHARACTERS]


def naming_its_job(body: str, message_id: str) -> str:
    """The body for another message. An order that names no job gets the id that it had as this one: it orders the same job."""
    with suppress(MalformedMessage):
        said = decode(body, message_id)
        if said.order is not None and said.job_id == job_id_for(message_id):
            named = json.dumps({"jobId": said.job_id})
            return _out_of_base64(body).rstrip().removesuffix("}") + "," + named.removeprefix("{")
    return body


def _content(body: str) -> dict[str, Any]:
    try:
        content = json.loads(_out_of_base64(body))
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"the body is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise MalformedMessage("the body is not a JSON object")
    return content


def _out_of_base64(body: str) -> str:
    """kombu's SQS transport packs whole bodies so. No JSON object is base64: it begins with a brace."""
    if body.startswith("{"):
        return body
    with suppress(ValueError):
        unpacked = b64decode(body.strip(), validate=True).decode()
        return unpacked if unpacked.startswith("{") else body
    return body


def _ordered(content: dict[str, Any], message_id: str) -> JobMessage:
    user_id, kind = _user_id(_text(content, "userId")), _kind(_text(content, "type"))
    job_id = _text(content, "jobId") if content.get("jobId") is not None else job_id_for(message_id)
    payload = content["payload"]
    if not isinstance(payload, dict):
        raise MalformedMessage("field payload is not an object")
    ignored = tuple(sorted(content.keys() - FIELDS_OF_ORDERS))
    return JobMessage(_job_id(job_id), user_id, kind, _time(content.get("timestamp")), Ordered(payload, ignored=ignored))


def _called(content: dict[str, Any]) -> JobMessage:
    try:
        call = envelope.unpacked(content)
        payload, user_id = envelope.payload_and_user(call.args, call.kwargs)
    except envelope.NotACall as error:
        raise MalformedMessage(f"a Celery call that orders no job: {error}") from None
    _text({"userId": user_id}, "userId")
    order = Ordered(payload, run_at=call.eta, expires_at=call.expires)
    return JobMessage(_job_id(call.id, "header id"), _user_id(user_id), _kind(call.task, "header task"), order=order)


def _job_id(value: str, name: str = "field jobId") -> str:
    if not JOB_ID.fullmatch(value):
        raise MalformedMessage(f"{name} is not {JOB_ID_FORM}")
    return value


def _user_id(value: str) -> str:
    if len(value) > USER_ID_CHARACTERS:
        raise MalformedMessage(f"field userId is longer than {USER_ID_CHARACTERS} characters")
    return value


def _kind(value: str, name: str = "field type") -> str:
    if value not in KINDS:
        raise MalformedMessage(f"{name} is {value!r}; there are {', '.join(KINDS)}")
    return value


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
