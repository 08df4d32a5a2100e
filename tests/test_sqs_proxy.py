"""The tests' SQS is as strict as AWS, and as faulty as it is told to be."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from secrets import token_hex
from typing import Any

import pytest
from botocore.exceptions import ClientError

from queues.clients import make_client
from tests.sqs import SqsProxy
from tests.workers import PATIENCE_SECONDS, wait_for

FIFO = {"FifoQueue": "true"}
HANGS = "Read timeout"


@pytest.fixture
def client(sqs_proxy: SqsProxy) -> Any:
    return make_client("sqs", read_seconds=PATIENCE_SECONDS)


@pytest.fixture
def make_queue(client: Any) -> Callable[..., str]:
    def make(suffix: str = "", **attributes: str) -> str:
        url: str = client.create_queue(QueueName=f"proxied-{token_hex(4)}{suffix}", Attributes=attributes)["QueueUrl"]
        return url

    return make


@pytest.fixture
def url(make_queue: Callable[..., str]) -> str:
    return make_queue()


def receive(client: Any, url: str, most: int = 10, seconds: int = 60) -> list[Any]:
    answer = client.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=most,
        VisibilityTimeout=seconds,
        WaitTimeSeconds=0,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["All"],
    )
    found: list[Any] = answer.get("Messages", [])
    return found


def received_twice(client: Any, url: str) -> tuple[str, str]:
    """The receipt handles of a message that was received again."""
    client.send_message(QueueUrl=url, MessageBody="x", **({"MessageGroupId": "g"} if url.endswith(".fifo") else {}))
    (first,) = receive(client, url)
    client.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    (second,) = wait_for(lambda: receive(client, url), "the message to come again")
    assert first["MessageId"] == second["MessageId"]
    return first["ReceiptHandle"], second["ReceiptHandle"]


def held(client: Any, url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def code_of(failure: pytest.ExceptionInfo[ClientError]) -> str:
    return failure.value.response["Error"]["Code"]


def test_an_outdated_handle_deletes_nothing_and_the_newest_does(client: Any, url: str) -> None:
    outdated, newest = received_twice(client, url)
    client.delete_message(QueueUrl=url, ReceiptHandle=outdated)
    assert held(client, url) == 1
    client.delete_message(QueueUrl=url, ReceiptHandle=newest)
    assert held(client, url) == 0
    client.delete_message(QueueUrl=url, ReceiptHandle=newest)  # again: as good as once


def test_an_outdated_handle_changes_no_visibility(client: Any, url: str) -> None:
    outdated, newest = received_twice(client, url)
    with pytest.raises(ClientError, match="not available for visibility timeout change") as refused:
        client.change_message_visibility(QueueUrl=url, ReceiptHandle=outdated, VisibilityTimeout=0)
    assert code_of(refused) == "InvalidParameterValue"
    assert receive(client, url) == []
    client.change_message_visibility(QueueUrl=url, ReceiptHandle=newest, VisibilityTimeout=30)


def test_the_visibility_of_what_is_visible_again_or_gone_is_not_changed(client: Any, url: str) -> None:
    client.send_message(QueueUrl=url, MessageBody="x")
    (message,) = receive(client, url)
    change = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
    client.change_message_visibility(**change, VisibilityTimeout=0)
    with pytest.raises(ClientError, match="not available"):
        client.change_message_visibility(**change, VisibilityTimeout=60)
    client.delete_message(**change)  # on a standard queue the newest handle still deletes
    assert held(client, url) == 0
    with pytest.raises(ClientError, match="not available"):
        client.change_message_visibility(**change, VisibilityTimeout=60)


def test_in_a_batch_only_the_outdated_entries_fail(client: Any, url: str) -> None:
    outdated, newest = received_twice(client, url)
    entries = [{"Id": "old", "ReceiptHandle": outdated}, {"Id": "new", "ReceiptHandle": newest}]
    changes = [{**entry, "VisibilityTimeout": 30} for entry in entries]
    answer = client.change_message_visibility_batch(QueueUrl=url, Entries=changes)
    assert [entry["Id"] for entry in answer["Successful"]] == ["new"]
    assert [(entry["Id"], entry["Code"]) for entry in answer["Failed"]] == [("old", "InvalidParameterValue")]
    answer = client.delete_message_batch(QueueUrl=url, Entries=entries[:1])
    assert [entry["Id"] for entry in answer["Successful"]] == ["old"]
    assert held(client, url) == 1
    client.delete_message_batch(QueueUrl=url, Entries=entries)
    assert held(client, url) == 0


def test_a_fifo_queue_refuses_to_delete_by_an_outdated_handle(client: Any, make_queue: Callable[..., str]) -> None:
    url = make_queue(".fifo", **FIFO, ContentBasedDeduplication="true")
    outdated, _ = received_twice(client, url)
    with pytest.raises(ClientError, match="receipt handle has expired"):
        client.delete_message(QueueUrl=url, ReceiptHandle=outdated)


def test_a_fifo_queue_knows_a_deduplication_id_after_its_message_is_gone(client: Any, make_queue: Callable[..., str]) -> None:
    url = make_queue(".fifo", **FIFO)
    message = {"MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "once"}
    first = client.send_message(QueueUrl=url, **message)
    (received,) = receive(client, url)
    client.delete_message(QueueUrl=url, ReceiptHandle=received["ReceiptHandle"])
    assert client.send_message(QueueUrl=url, **message)["MessageId"] == first["MessageId"]
    others = [{**message, "Id": "a"}, {**message, "Id": "b", "MessageDeduplicationId": "another"}]
    answer = client.send_message_batch(QueueUrl=url, Entries=others)
    assert [entry["Id"] for entry in answer["Successful"]] == ["a", "b"]
    assert [found["Attributes"]["MessageDeduplicationId"] for found in receive(client, url)] == ["another"]


def test_moved_messages_are_new_ones(client: Any, make_queue: Callable[..., str], sqs_proxy: SqsProxy) -> None:
    source, target = make_queue("-dlq"), make_queue()
    attributes = {"Reason": {"DataType": "String", "StringValue": "why"}}
    sent = client.send_message(QueueUrl=source, MessageBody="x", MessageAttributes=attributes)
    assert sqs_proxy.move_messages(source.rpartition("/")[2], target.rpartition("/")[2]) == 1
    assert held(client, source) == 0
    (moved,) = receive(client, target)
    assert moved["MessageId"] != sent["MessageId"]
    assert (moved["Body"], moved["MessageAttributes"]["Reason"]["StringValue"]) == ("x", "why")
    assert moved["Attributes"]["ApproximateReceiveCount"] == "1"


def test_aws_own_redrive_sends_dead_letters_to_where_they_came_from(client: Any, make_queue: Callable[..., str]) -> None:
    dead_letters = make_queue("-dlq")
    arn = client.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    queue = make_queue(RedrivePolicy=json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1}))
    client.send_message(QueueUrl=dead_letters, MessageBody="x")
    assert client.start_message_move_task(SourceArn=arn)["TaskHandle"]
    assert [message["Body"] for message in receive(client, queue)] == ["x"]
    assert held(client, dead_letters) == 0


def test_every_nth_message_is_delivered_twice_and_the_later_delivery_counts(client: Any, url: str, sqs_proxy: SqsProxy) -> None:
    for n in range(4):
        client.send_message(QueueUrl=url, MessageBody=str(n))
    sqs_proxy.duplicate(every=2)
    first = receive(client, url)
    again = receive(client, url)
    assert len(first) == 4
    assert [message["MessageId"] for message in again] == [message["MessageId"] for message in first[1::2]]
    assert {message["ReceiptHandle"] for message in again}.isdisjoint(message["ReceiptHandle"] for message in first)
    for message in first:
        client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert held(client, url) == 2
    for message in again:
        client.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=30)
        client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert held(client, url) == 0


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda proxy, **of: proxy.fail(503, **of), "ServiceUnavailable"),
        (lambda proxy, **of: proxy.throttle(**of), "ThrottlingException"),
        (lambda proxy, **of: proxy.throttle(code="RequestThrottled", **of), "RequestThrottled"),
        (lambda proxy, **of: proxy.hang(**of), HANGS),
        (lambda proxy, **of: proxy.refuse(**of), "Could not connect|onnection was closed"),
    ],
    ids=["5xx", "throttled", "throttled in SQS's own word", "time-outs", "refused"],
)
@pytest.mark.parametrize("actions", [None, {"SendMessage"}], ids=["all", "one action"])
def test_it_fails_as_told_until_it_is_well_and_does_nothing_meanwhile(
    break_it: Any, says: str, actions: set[str] | None, client: Any, url: str, sqs_proxy: SqsProxy
) -> None:
    unlucky = make_client("sqs", read_seconds=0.5) if says == HANGS else client
    break_it(sqs_proxy, actions=actions)
    with pytest.raises(Exception, match=says):
        unlucky.send_message(QueueUrl=url, MessageBody="x")
    if actions is None:
        with pytest.raises(Exception, match=says):
            unlucky.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        sqs_proxy.well()
    assert held(client, url) == 0
    sqs_proxy.well()
    client.send_message(QueueUrl=url, MessageBody="x")
    assert held(client, url) == 1


def test_a_fault_can_be_for_a_number_of_requests(client: Any, url: str, sqs_proxy: SqsProxy) -> None:
    sqs_proxy.fail(500, code="InternalFailure", times=1)
    with pytest.raises(ClientError):
        client.send_message(QueueUrl=url, MessageBody="x")
    client.send_message(QueueUrl=url, MessageBody="x")


def test_a_lost_answer_is_to_something_done(client: Any, url: str, sqs_proxy: SqsProxy) -> None:
    sqs_proxy.lose_answers(actions={"SendMessage"}, times=1)
    with pytest.raises(Exception, match="onnection was closed"):
        client.send_message(QueueUrl=url, MessageBody="x")
    assert held(client, url) == 1


def test_requests_are_counted_by_action(client: Any, url: str, sqs_proxy: SqsProxy) -> None:
    before = sqs_proxy.counts["SendMessage"]
    client.send_message(QueueUrl=url, MessageBody="x")
    assert sqs_proxy.counts["SendMessage"] == before + 1


def test_a_batch_needs_the_permission_of_its_single_action(
    client: Any, url: str, sqs_proxy: SqsProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def allows(access_key: str, action: str, queue: str) -> bool:
        if queue != url.rpartition("/")[2]:
            return True  # a poll of an earlier test may just come to its end
        asked.append((access_key, action))
        return action != "DeleteMessage"

    monkeypatch.setattr(sqs_proxy, "allows", allows)
    client.send_message_batch(QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "x"}])
    (message,) = receive(client, url)
    entries = [{"Id": "a", "ReceiptHandle": message["ReceiptHandle"]}]
    with pytest.raises(ClientError) as refused:
        client.delete_message_batch(QueueUrl=url, Entries=entries)
    assert code_of(refused) == "AccessDenied"
    assert asked == [("laptop", action) for action in ("SendMessage", "ReceiveMessage", "DeleteMessage")]


def test_what_is_not_sqs_passes_untouched(sqs_proxy: SqsProxy) -> None:
    sqs_proxy.fail(503)
    s3 = make_client("s3")
    bucket, content = f"proxied-{token_hex(4)}", bytes(range(256)) * 1000
    s3.create_bucket(Bucket=bucket)
    s3.upload_fileobj(BytesIO(content), bucket, "a name")
    assert s3.head_object(Bucket=bucket, Key="a name")["ContentLength"] == len(content)
    assert s3.get_object(Bucket=bucket, Key="a name")["Body"].read() == content
    assert s3.get_object(Bucket=bucket, Key="a name", Range="bytes=1-3")["Body"].read() == content[1:4]
