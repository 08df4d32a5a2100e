"""Messages that many threads send at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from queues.clients import QueueError, QueueUnavailable
from queues.post import Post
from queues.queue import Outgoing, Queue, queue_for
from tests.sqs import SqsProxy

SENDERS = 40


def at_once(call: Callable[[int], Any]) -> list[Any]:
    """What `call` answers in so many threads that begin together."""
    begin = Barrier(SENDERS)

    def go(n: int) -> Any:
        begin.wait(30)
        return call(n)

    with ThreadPoolExecutor(SENDERS) as threads:
        return list(threads.map(go, range(SENDERS)))


def sent(proxy: SqsProxy) -> int:
    return proxy.counts["SendMessage"] + proxy.counts["SendMessageBatch"]


def test_senders_of_the_same_moment_share_requests_and_each_learns_its_own_message(queues: Any, sqs_proxy: SqsProxy) -> None:
    queue, post, before = queue_for("articles"), Post(), sent(sqs_proxy)
    ids = at_once(lambda n: post.send(queue, Outgoing(str(n))))
    assert sent(sqs_proxy) - before < SENDERS
    found = {}
    while messages := queue.receive(10, visibility_seconds=600, wait_seconds=0):
        found |= {message.message_id: message.body for message in messages}
    assert [found[message_id] for message_id in ids] == [str(n) for n in range(SENDERS)]


def test_who_sends_alone_makes_a_plain_request(queues: Any, sqs_proxy: SqsProxy) -> None:
    post, before = Post(), sqs_proxy.counts["SendMessage"]
    assert post.send(queue_for("articles"), Outgoing("alone"))
    assert sqs_proxy.counts["SendMessage"] - before == 1


def test_a_fault_is_everybodys_who_shared_the_request_and_stops_nobody_behind_them(queues: Any) -> None:
    missing, post = Queue("no-such-queue", queue_for("articles").url + "-missing"), Post()

    def fails(n: int) -> bool:
        with pytest.raises(QueueError):
            post.send(missing, Outgoing(str(n)))
        return True

    assert all(at_once(fails))
    assert all(at_once(lambda n: post.send(queue_for("articles"), Outgoing(str(n)))))


class Picky(Queue):
    """Takes every second message of a batch, and none alone."""

    def send(self, outgoing: Outgoing) -> str:
        raise QueueUnavailable("busy")

    def send_batch(self, outgoing: Any) -> list[str | None]:
        return [each.body if place % 2 else None for place, each in enumerate(outgoing)]


def test_a_message_that_sqs_did_not_take_is_its_own_senders_fault_alone() -> None:
    picky, post = Picky("picky"), Post()

    def outcome(n: int) -> str:
        try:
            return post.send(picky, Outgoing(str(n)))
        except QueueUnavailable:
            return "not taken"

    outcomes = at_once(outcome)
    assert all(said in {str(n), "not taken"} for n, said in enumerate(outcomes))
    assert "not taken" in outcomes
