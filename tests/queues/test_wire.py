"""What travels in a message, and what is refused there."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from queues.wire import JobMessage, MalformedMessage, Ordered, UnknownVersion, decode, naming_its_job

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


ORDER = {"type": "articles", "userId": "ada", "payload": {"topic": "Bees"}}
CALL: dict[str, Any] = {
    "body": json.dumps([[{"topic": "Bees"}], {"userId": "ada"}, {"callbacks": None, "errbacks": None, "chain": None}]),
    "content-type": "application/json",
    "content-encoding": "utf-8",
    "headers": {"task": "articles", "id": "6b02-1", "eta": None, "expires": None},
    "properties": {},
}


def in_base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def test_anybodys_json_with_a_payload_orders_a_job() -> None:
    said = decode(json.dumps(ORDER | {"jobId": "mine-1", "timestamp": "2025-01-15T10:30:00Z"}), "some-id")
    assert said == JobMessage("mine-1", "ada", "articles", order=Ordered({"topic": "Bees"}))
    assert said.sent_at == datetime(2025, 1, 15, 10, 30, tzinfo=UTC)


def test_an_order_that_names_no_job_gets_the_messages_id_in_the_letters_of_ours() -> None:
    assert decode(json.dumps(ORDER), "0ab1-2c").job_id == "0ab1-2c"
    assert decode(json.dumps(ORDER), "Æ/7:" + "x" * 80).job_id == "__7_" + "x" * 60


@pytest.mark.parametrize("body", [json.dumps(ORDER), json.dumps(ORDER | {"jobId": None}) + "\n", in_base64(json.dumps(ORDER))])
def test_an_order_sent_again_orders_the_job_of_its_first_message(body: str) -> None:
    assert decode(naming_its_job(body, "first"), "second") == decode(body, "first")


@pytest.mark.parametrize("body", [json.dumps(ORDER | {"jobId": "mine-1"}), json.dumps(GOOD), json.dumps(CALL), "{", "[]"])
def test_what_names_its_job_or_orders_none_is_sent_again_as_it_was(body: str) -> None:
    assert naming_its_job(body, "first") == body


def test_fields_that_mean_nothing_are_named() -> None:
    said = decode(json.dumps(ORDER | {"version": "1", "source": "cron", "job_id": "x"}), "m")
    assert said.order is not None
    assert said.order.ignored == ("job_id", "source")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"type": "articles", "userId": "ada"}, "neither field jobId nor field payload"),
        (ORDER | {"payload": "Bees"}, "field payload is not an object"),
        (ORDER | {"payload": None}, "field payload is not an object"),
        (ORDER | {"userId": ""}, "userId"),
        (ORDER | {"userId": "x" * 257}, "field userId is longer than 256 characters"),
        (ORDER | {"type": "poems"}, "type is 'poems'; there are articles"),
        (ORDER | {"jobId": "a b"}, "jobId"),
        (ORDER | {"jobId": 7}, "jobId"),
        (CALL | {"body": "gAJLAS4=", "content-type": "application/x-python-serialize"}, "send 'application/json'"),
        (CALL | {"headers": {**CALL["headers"], "compression": "gzip"}}, "compressed"),
        (CALL | {"headers": {**CALL["headers"], "task": "poems"}}, "header task is 'poems'"),
        (CALL | {"headers": {**CALL["headers"], "id": None}}, "header id is missing"),
        (CALL | {"headers": {**CALL["headers"], "eta": "soon"}}, "header eta is 'soon'"),
        (CALL | {"body": "[1"}, "can't be read"),
        (CALL | {"body": "[[], {}]"}, "protocol 2"),
        (CALL | {"body": "[[1, 2], {}, {}]"}, "one argument"),
        (CALL | {"body": '[["6b02"], {}, {}]'}, "one argument, the job's payload as an object"),
        (CALL | {"body": '[[{}], {"tone": "dry"}, {}]'}, "one argument"),
        (CALL | {"body": '[[{}], {}, {"chain": [1]}]'}, "the call asks for chain"),
        (CALL | {"body": '[[{}], {"userId": 7}, {}]'}, "userId is not a text"),
    ],
)
def test_an_order_that_cannot_be_read_is_refused_with_the_reason(body: dict[str, Any], says: str) -> None:
    with pytest.raises(MalformedMessage, match=says):
        decode(json.dumps(body), "m")


@pytest.mark.parametrize("pack", [str, in_base64], ids=["plain", "in base64"])
@pytest.mark.parametrize("pack_body", [str, in_base64], ids=["body plain", "body in base64"])
def test_celerys_envelope_orders_a_job_under_its_tasks_id(pack: Callable[[str], str], pack_body: Callable[[str], str]) -> None:
    properties = {"body_encoding": "base64"} if pack_body is in_base64 else {}
    envelope = CALL | {"body": pack_body(CALL["body"]), "properties": properties}
    said = decode(pack(json.dumps(envelope)), "m")
    assert said == JobMessage("6b02-1", "ada", "articles", order=Ordered({"topic": "Bees"}))


def test_a_calls_keywords_are_the_payload_and_its_times_are_kept() -> None:
    headers = {"task": "articles", "id": "6b02", "eta": "2030-01-01T12:00:00", "expires": "2030-01-01T14:00:00+01:00"}
    said = decode(json.dumps(CALL | {"headers": headers, "body": '[[], {"topic": "Bees"}, null]'}))
    assert (said.user_id, said.order) == (
        "celery",
        Ordered(
            {"topic": "Bees"},
            run_at=datetime(2030, 1, 1, 12, tzinfo=UTC),
            expires_at=datetime(2030, 1, 1, 13, tzinfo=UTC),
        ),
    )


def test_what_is_no_base64_of_an_object_is_left_as_it_is() -> None:
    with pytest.raises(MalformedMessage, match="not JSON"):
        decode(in_base64("hello"))
