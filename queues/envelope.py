"""Celery's own messages: what `celery call`, Flower and any stock Celery client put into a queue.

Task protocol 2 with a JSON body, plain or in base64 as kombu's SQS transport writes it. A pickled body is never read.
Source: https://docs.celeryq.dev/en/stable/internals/protocol.html
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

USER_OF_CALLS = "celery"
"""Whose job it is where a call doesn't say."""
USER_ARGUMENTS = ("userId", "user_id")
JSON = "application/json"
FOLLOW_UPS = ("callbacks", "errbacks", "chain", "chord")


class NotACall(ValueError):
    """The envelope orders no job; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A task's call as its envelope says it."""

    task: str
    id: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    eta: datetime | None
    expires: datetime | None


def is_envelope(content: Mapping[str, Any]) -> bool:
    """Whether a message is one of Celery's."""
    return isinstance(content.get("headers"), dict) and "body" in content


def unpacked(content: Mapping[str, Any]) -> Call:
    """The call in an envelope.

    Raises:
        NotACall: its body is not JSON of protocol 2, or asks for what a job can't do.
    """
    headers = content["headers"]
    if content.get("content-type") != JSON:
        raise NotACall(f"content-type is {content.get('content-type')!r}; send {JSON!r} (task_serializer = 'json')")
    if headers.get("compression"):
        raise NotACall("the body is compressed; send it as it is (task_compression = None)")
    args, kwargs, follow_ups = _parts(content)
    if asked := [name for name in FOLLOW_UPS if follow_ups.get(name)]:
        raise NotACall(f"the call asks for {', '.join(asked)}, which jobs don't have; call each task by itself")
    return Call(
        task=_text(headers, "task"),
        id=_text(headers, "id"),
        args=args,
        kwargs=kwargs,
        eta=_time(headers, "eta"),
        expires=_time(headers, "expires"),
    )


def payload_and_user(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """What a call orders, and for whom: the payload is its one argument or its keywords, the user is the keyword `userId`.

    Raises:
        NotACall: it has more arguments, or one that is not an object.
    """
    named = {name: value for name, value in kwargs.items() if name not in USER_ARGUMENTS}
    users = [kwargs[name] for name in USER_ARGUMENTS if kwargs.get(name) is not None]
    user_id = users[0] if users else USER_OF_CALLS
    if not isinstance(user_id, str) or not user_id:
        raise NotACall("the keyword userId is not a text")
    if args and (len(args) > 1 or named or not isinstance(args[0], Mapping)):
        raise NotACall("a task takes one argument, the job's payload as an object, or the payload's fields as keywords")
    return (args[0] if args else named), user_id


def _parts(content: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    body = content["body"]
    properties = content.get("properties")
    try:
        if isinstance(properties, dict) and properties.get("body_encoding") == "base64":
            body = b64decode(body, validate=True)
        parts = json.loads(body)
    except (ValueError, TypeError, RecursionError) as error:
        raise NotACall(f"the envelope's body can't be read: {error}") from None
    match parts:
        case [list() as args, dict() as kwargs, dict() | None as follow_ups]:
            return args, kwargs, follow_ups or {}
    raise NotACall("the envelope's body is not [args, kwargs, {…}] of task protocol 2")


def _text(headers: Mapping[str, Any], name: str) -> str:
    value = headers.get(name)
    if not isinstance(value, str) or not value:
        raise NotACall(f"header {name} is missing or not a text")
    return value


def _time(headers: Mapping[str, Any], name: str) -> datetime | None:
    value = headers.get(name)
    if value is None:
        return None
    try:
        return in_utc(datetime.fromisoformat(value))
    except (ValueError, TypeError, OverflowError):
        raise NotACall(f"header {name} is {value!r}; send a time as in 2026-12-01T09:00:00Z") from None


def in_utc(time: datetime) -> datetime:
    """A time of Celery's, which counts as UTC where it names no zone."""
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
