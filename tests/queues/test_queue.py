"""A queue's operations against a real SQS server."""

from __future__ import annotations

from typing import Any

import pytest

from queues.clients import QueueMissing, QueueRefused, QueueUnavailable
from queues.queue import Outgoing, Queue, in_tens, queue_for
from queues.wire import attributes
from tests.sqs import SqsProxy


def receive(queue: Queue, most: int = 10, visibility: int = 30) -> list[Any]:
    return queue.receive(most, visibility_seconds=visibility, wait_seconds=0)


def test_what_is_sent_is_received_with_its_attributes_and_deleted(queues: Any) -> None:
    queue = queue_for("articles")
    sent = queue.send(Outgoing("hello", attributes("articles", "normal")))
    (message,) = receive(queue)
    assert (message.message_id, message.body, message.receive_count) == (sent, "hello", 1)
    assert message.attributes == {"JobType": "articles", "Priority": "normal"}
    assert message.sent_milliseconds > 0
    queue.delete([message.receipt_handle])
    assert queue.attributes()["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_a_batch_answers_an_id_for_each_message_in_order(queues: Any) -> None:
    queue = queue_for("articles")
    ids = queue.send_batch([Outgoing(str(n)) for n in range(10)])
    received = {message.message_id: message.body for message in receive(queue)}
    assert [received[str(message_id)] for message_id in ids] == [str(n) for n in range(10)]


def test_a_received_message_is_invisible_for_as_long_as_was_asked(queues: Any) -> None:
    queue = queue_for("articles")
    queue.send(Outgoing("x"))
    (message,) = receive(queue, visibility=30)
    assert receive(queue) == []
    queue.change_visibility({message.receipt_handle: 0})
    (again,) = receive(queue)
    assert again.receive_count == 2


def test_purging_empties_the_queue(queues: Any) -> None:
    queue = queue_for("images")
    queue.send_batch([Outgoing("x"), Outgoing("y")])
    queue.purge()
    assert queue.attributes()["ApproximateNumberOfMessages"] == "0"


def test_a_missing_queue_is_one_line_that_names_the_command(sqs: str) -> None:
    with pytest.raises(QueueMissing, match=r"no-such.*python -m queues.provision"):
        Queue("no-such").send(Outgoing("x"))


def test_a_queue_can_be_given_by_its_url(queues: dict[str, str], environment: Any) -> None:
    url = next(url for name, url in queues.items() if name.endswith("images"))
    environment(SQS_IMAGE_QUEUE_URL=url, QUEUE_PREFIX="elsewhere-")
    queue_for("images").send(Outgoing("x"))
    assert len(receive(queue_for("images"))) == 1


def test_a_made_up_receipt_handle_is_refused(queues: Any) -> None:
    with pytest.raises(QueueRefused, match="delete 1 messages"):
        queue_for("articles").delete(["nonsense"])


def test_what_fails_for_one_message_is_done_for_all_others(queues: Any) -> None:
    queue = queue_for("articles")
    for _ in range(2):
        queue.send_batch([Outgoing(str(n)) for n in range(10)])
    messages = receive(queue) + receive(queue)
    handles = ["made-up", *(message.receipt_handle for message in messages)]
    with pytest.raises(QueueRefused) as refused:
        queue.change_visibility(dict.fromkeys(handles, 0))
    assert refused.value.handles == {"made-up"}
    assert queue.attributes()["ApproximateNumberOfMessages"] == "20"


def test_a_request_that_fails_is_not_followed_by_others(queues: Any, sqs_proxy: SqsProxy) -> None:
    sqs_proxy.fail(503, actions={"DeleteMessageBatch"})
    before = sqs_proxy.counts["DeleteMessageBatch"]
    handles = [str(n) for n in range(25)]
    with pytest.raises(QueueUnavailable) as away:
        queue_for("articles").delete(handles)
    assert away.value.handles == {*handles}
    assert sqs_proxy.counts["DeleteMessageBatch"] == before + 1


def test_things_are_put_in_tens() -> None:
    assert [len(chunk) for chunk in in_tens(range(25))] == [10, 10, 5]
    assert list(in_tens([])) == []
