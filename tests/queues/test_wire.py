"""What travels in a message, and what is refused there."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from queues.wire import JobMessage, MalformedMessage, decode

GOOD = {"jobId": "abc", "userId": "ada", "type": "articles", "timestamp": "2025-01-15T10:30:00Z", "version": "1"}


def test_what_is_encoded_can_be_decoded() -> None:
    message = JobMessage("abc", "ada", "articles")
    assert decode(message.body()) == message


def test_the_body_is_the_one_of_the_contract() -> None:
    body = json.loads(JobMessage("abc", "ada", "articles").body())
    assert body.keys() == GOOD.keys()
    assert body | {"timestamp": ""} == GOOD | {"timestamp": ""}
    assert body["timestamp"].endswith("Z")
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        (json.dumps(GOOD | {"jobId": 7}), "jobId"),
        (json.dumps(GOOD | {"jobId": "a b"}), "jobId"),
        (json.dumps(GOOD | {"jobId": "x" * 65}), "jobId"),
        (json.dumps({**GOOD, "userId": None}), "userId"),
        (json.dumps(GOOD | {"type": "poems"}), "type is 'poems'; there are articles"),
        (json.dumps(GOOD | {"version": "2"}), "version"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_fields_name(body: str, says: str) -> None:
    with pytest.raises(MalformedMessage, match=says):
        decode(body)
