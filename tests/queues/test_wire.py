"""What travels in a message, and what is refused there."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from queues.wire import JobMessage, MalformedMessage, UnknownVersion, decode

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
        ("[" * 100_000, "not JSON"),
        (json.dumps(GOOD | {"jobId": "abc\n"}), "jobId"),
        (json.dumps(GOOD | {"userId": "\ud800"}), "userId is not valid Unicode"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_fields_name(body: str, says: str) -> None:
    with pytest.raises(MalformedMessage, match=says):
        decode(body)


@pytest.mark.parametrize("version", ["2", 1, None, ["1"]])
def test_another_version_is_told_from_a_broken_message_whatever_else_it_says(version: object) -> None:
    with pytest.raises(UnknownVersion, match="version"):
        decode(json.dumps({"version": version, "something": "new"}))


@pytest.mark.parametrize("timestamp", [None, 7, "yesterday", "2025-01-15T10:30:00", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_says_nothing_usable_is_none(timestamp: object) -> None:
    assert decode(json.dumps(GOOD | {"timestamp": timestamp})).sent_at is None
