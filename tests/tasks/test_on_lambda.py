"""The Lambda functions in the hands of an event source mapping, which receives from real queues and deletes what was done."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint

from devstack.ai_service import AiService
from jobs.document import Job
from jobs.life import Status
from jobs.store import store
from jobs.submit import Order, submit
from queues.clients import sqs as sqs_client
from queues.queue import Outgoing, Queue, dead_letters_of, queue_for
from settings import CHECKOUT
from tasks import on_lambda
from tasks.leaving import come_back
from tests.jobs.clocks import Clocks
from tests.jobs.waiting import FUTURE
from tests.tasks.running import end_kept_children
from tests.workers import wait_for

QUEUE_SECONDS = 60
"""How long a message is kept from others by its receive: more than a test takes."""
ARTICLE = {"topic": "Bees", "wordCount": 50}


@dataclass
class Context:
    """What the function is told of its time."""

    seconds: float = 60

    def __post_init__(self) -> None:
        self._ends = monotonic() + self.seconds

    def get_remaining_time_in_millis(self) -> int:
        return max(round((self._ends - monotonic()) * 1_000), 0)


class Mapping:
    """An event source mapping with `ReportBatchItemFailures`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def receive(self) -> list[dict[str, Any]]:
        """Up to ten messages, as records of the documented shape.
        https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html"""
        answer = sqs_client().receive_message(
            QueueUrl=self._queue.url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=QUEUE_SECONDS,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return [self._record(message) for message in answer.get("Messages", [])]

    def _record(self, message: Any) -> dict[str, Any]:
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {
                name: {
                    "stringValue": value.get("StringValue"),
                    "binaryValue": base64.b64encode(value["BinaryValue"]).decode() if "BinaryValue" in value else None,
                    "stringListValues": [],
                    "binaryListValues": [],
                    "dataType": value["DataType"],
                }
                for name, value in message.get("MessageAttributes", {}).items()
            },
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self._queue.attributes()["QueueArn"],
            "awsRegion": "us-east-1",
        }

    def invoke(self, records: list[dict[str, Any]], seconds: float = 60) -> set[str]:
        """The ids that the function reported; the other messages are deleted, as Lambda does."""
        answer = on_lambda.handler({"Records": records}, Context(seconds))
        reported = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        self._queue.delete([each["receiptHandle"] for each in records if each["messageId"] not in reported])
        return reported


@pytest.fixture
def service(database: Any, queues: Any, environment: Callable[..., None]) -> Iterator[AiService]:
    end_kept_children()
    with AiService() as running:
        environment(AI_SERVICE_URL=running.address, LEASE_SECONDS="6", SHUTDOWN_GRACE_SECONDS="5")
        yield running
    end_kept_children()
    come_back()


@pytest.fixture
def time_is_over_when(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Call it with a condition: the function's time for its work is over then, however slow this machine is."""

    def change(condition: Callable[[], Any]) -> None:
        def wait(under_way: object, timeout: float) -> None:
            assert timeout < QUEUE_SECONDS
            wait_for(condition, "the function's time to be over")

        monkeypatch.setattr(on_lambda, "wait", wait)

    return change


def found(job: Job) -> Job:
    now = store().get(job.id)
    assert now is not None
    return now


def test_what_is_done_is_deleted_what_failed_comes_again_and_what_nobody_can_read_is_set_aside(service: AiService) -> None:
    queue = queue_for("articles")
    good, failing = (submit(Order(kind="articles", payload=ARTICLE, user_id="ada")) for _ in range(2))
    queue.send(Outgoing("no JSON", {"Mark": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}))
    service.treat(failing.id, status=500, times=1)
    mapping = Mapping(queue)
    records = mapping.receive()
    assert len(records) == 3
    assert mapping.invoke(records) == {failing.message_id}
    assert (found(good).status, found(failing).status) == (Status.COMPLETED, Status.RETRYING)
    (letter,) = dead_letters_of("articles").receive(10, visibility_seconds=0)
    assert (letter.body, letter.typed_attributes["Mark"]["BinaryValue"]) == ("no JSON", b"\x00\xff")
    assert "not JSON" in letter.attributes["Reason"]
    again = wait_for(mapping.receive, "the message to come when its job may start, long before its receive's time is over")
    assert mapping.invoke(again) == set()
    assert (found(failing).status, found(failing).attempts) == (Status.COMPLETED, 2)
    assert queue.count() == 0


def test_behind_a_failure_all_of_its_group_come_again_and_other_groups_are_done(service: AiService, database: Any) -> None:
    def change(user: str, resume: str) -> Job:
        payload = {"action": "CREATE", "resumeId": resume, "data": {}}
        return submit(Order(kind="resumes", payload=payload, user_id=user))

    queue = queue_for("resumes")
    newer = queue.send(Outgoing('{"version": "2"}', group="user-eve"))
    behind = change("eve", "a")
    first, second, others = change("ada", "a"), change("ada", "b"), change("bob", "a")
    assert store().claim(first.id, kind="resumes", token="t", worker="w", message_id=first.message_id, seq=first.seq)
    database.jobs.update_one({"_id": first.id}, {"$set": {"lease.expires_at": FUTURE}})
    mapping = Mapping(queue)
    records = wait_for(lambda: (got := mapping.receive()) and got, "the messages")
    while len(records) < 5:
        records += mapping.receive()
    assert mapping.invoke(records) == {newer, behind.message_id, first.message_id, second.message_id}
    assert [found(each).status for each in (behind, second, others)] == [Status.QUEUED, Status.QUEUED, Status.COMPLETED]
    assert store().hand_back(first.id, "t")
    group = {first.message_id, second.message_id}
    queue.change_visibility({each["receiptHandle"]: 0 for each in records if each["messageId"] in group})  # the time has come
    again = wait_for(mapping.receive, "the group to come again")
    assert mapping.invoke(again) == set()
    ended = [found(first), found(second)]
    assert [each.status for each in ended] == [Status.COMPLETED] * 2
    assert ended[0].finished_at <= ended[1].finished_at  # type: ignore[operator]  # both have ended


def test_before_the_functions_time_is_over_what_runs_is_handed_back_and_no_attempt_is_counted(
    service: AiService, time_is_over_when: Callable[[Callable[[], Any]], None]
) -> None:
    service.make(video_polls=1_000_000)
    job = submit(Order(kind="videos", payload={"prompt": "Bees", "duration": 1, "size": "64x64"}, user_id="ada"))
    mapping = Mapping(queue_for("videos"))
    time_is_over_when(lambda: found(job).checkpoint)
    assert mapping.invoke(mapping.receive()) == set()
    left = found(job)
    assert (left.status, left.attempts, left.lease) == (Status.QUEUED, 0, None)
    assert left.checkpoint, "the generation that is under way is kept"
    time_is_over_when(lambda: found(job).status.is_final)
    service.make(video_polls=1)
    (fresh,) = mapping.receive()
    assert fresh["messageId"] == left.message_id != job.message_id
    assert mapping.invoke([fresh]) == set()
    assert (found(job).status, len(service.tasks)) == (Status.COMPLETED, 1)


def test_a_function_without_time_gives_everything_back_at_once(
    service: AiService, time_is_over_when: Callable[[Callable[[], Any]], None]
) -> None:
    jobs = [submit(Order(kind="articles", payload=ARTICLE, user_id="ada")) for _ in range(2)]
    service.behave(wait_seconds=600)
    mapping = Mapping(queue_for("articles"))
    time_is_over_when(lambda: len(service.received("/api/generation")) == len(jobs))
    mapping.invoke(mapping.receive(), 1)
    assert [(found(each).status, found(each).attempts) for each in jobs] == [(Status.QUEUED, 0)] * 2
    assert len(wait_for(mapping.receive, "their messages")) > 0


def test_a_function_that_was_frozen_since_its_last_call_takes_over_what_a_dead_worker_left(
    service: AiService, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks = Clocks(monkeypatch)
    job = submit(Order(kind="articles", payload=ARTICLE, user_id="ada"))
    assert store().claim(job.id, kind="articles", token="t", worker="dead", message_id=job.message_id)
    database.jobs.update_one({"_id": job.id}, {"$set": {"lease.expires_at": datetime.now(UTC)}})
    clocks.go_on(3_600)
    clocks.sleep(3_600)
    mapping = Mapping(queue_for("articles"))
    assert mapping.invoke(mapping.receive()) == set()
    assert (found(job).status, found(job).crashes) == (Status.COMPLETED, 1)


def test_messages_of_an_unknown_queue_are_refused_with_the_remedy() -> None:
    record = {"eventSourceARN": "arn:aws:sqs:eu-central-1:1:elsewhere"}
    with pytest.raises(ValueError, match="QUEUE_PREFIX"):
        on_lambda.handler({"Records": [record]}, Context())


def test_a_round_of_the_relay_sends_what_was_never_sent(service: AiService, environment: Callable[..., None]) -> None:
    environment(LEASE_SECONDS="2")
    job = submit(Order(kind="articles", payload=ARTICLE, user_id="ada"))
    store().forget_message(job.id, job.message_id or "")
    assert wait_for(lambda: on_lambda.relay({}, None) and found(job).message_id, "the relay to send it")


def test_cfn_lint_finds_no_fault_in_the_documented_template() -> None:
    text = (CHECKOUT / "docs" / "lambda.md").read_text()
    (template,) = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert not lint(template, config=ManualArgs(regions=["eu-central-1"]))
