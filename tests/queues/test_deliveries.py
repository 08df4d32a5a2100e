"""The registry of deliveries, and how their settlements reach a real SQS."""

from __future__ import annotations

import secrets
from functools import partial
from queue import Empty
from threading import Thread
from typing import Any

import pytest

from queues import steps
from queues.clients import QueueError
from queues.deliveries import SURPLUS, Delete, Deliveries, Delivery, Leave, Visible
from queues.limits import BATCH_MESSAGES
from queues.queue import Message, Outgoing, Queue, queue_for
from queues.settling import Settler
from queues.steps import Step
from queues.wire import JobMessage
from tests.sqs import SqsProxy
from tests.workers import wait_for

JOB = JobMessage("job", "ada", "articles")


def arrive(held: Deliveries, name: str = "m", queue: Queue | None = None) -> Delivery:
    held.arrive(queue or Queue("q"), Message(name, f"handle-{name}", "body"), JOB)
    delivery = held.next_arrival(0)
    assert delivery is not None
    return delivery


@pytest.fixture
def settled() -> list[Delivery]:
    return []


@pytest.fixture
def held(settled: list[Delivery]) -> Deliveries:
    registry = Deliveries()
    registry.on_settled = settled.append
    return registry


def test_a_delivery_nobody_decided_about_is_left_to_come_again(held: Deliveries, settled: list[Delivery]) -> None:
    held.settle(arrive(held).tag)
    assert [delivery.settlement for delivery in settled] == [Leave()]


def test_a_delivery_is_settled_once(held: Deliveries, settled: list[Delivery]) -> None:
    delivery = arrive(held)
    delivery.settlement = Delete()
    held.settle(delivery.tag)
    held.settle(delivery.tag, Visible(0))
    assert [delivery.settlement for delivery in settled] == [Delete()]


def test_there_is_room_for_as_many_as_the_slots_and_a_settled_one_makes_room(held: Deliveries) -> None:
    held.set_capacity(2)
    first = arrive(held, "1")
    assert held.wait_for_room(0) == 1
    arrive(held, "2")
    assert held.wait_for_room(0) == 0
    room: list[int] = []
    waiting = Thread(target=lambda: room.append(held.wait_for_room(30)))
    waiting.start()
    held.settle(first.tag)
    waiting.join(30)
    assert room == [1]


def test_a_process_that_stops_hands_out_nothing_more(held: Deliveries) -> None:
    held.arrive(Queue("q"), Message("m", "h", "body"), JOB)
    held.close()
    held.next_arrival(0)  # what had come before
    assert held.next_arrival(None) is None  # the wait is ended
    with pytest.raises(Empty):
        held.next_arrival(30)


def test_what_is_still_held_at_the_end_becomes_visible_at_once(queues: Any) -> None:
    queue = queue_for("articles")
    queue.send_batch([Outgoing(str(n)) for n in range(3)])
    held, settler = Deliveries(), Settler()
    held.on_settled = settler.put
    for message in queue.receive(10, visibility_seconds=600, wait_seconds=0):
        held.arrive(queue, message, JOB)
    held.release()
    assert settler.flush(30)
    assert len(held) == 0
    assert len(queue.receive(10, visibility_seconds=30, wait_seconds=0)) == 3


def test_deletes_and_visibility_changes_reach_the_queue(queues: Any) -> None:
    queue = queue_for("articles")
    for start in (0, 10, 20):
        queue.send_batch([Outgoing(str(n)) for n in range(start, start + 10)])
    held, settler = Deliveries(), Settler()
    held.on_settled = settler.put
    seen = 0
    while messages := queue.receive(10, visibility_seconds=600, wait_seconds=0):
        for message in messages:
            held.arrive(queue, message, JOB)
        seen += len(messages)
    assert seen == 30
    for delivery in held.all():
        n = int(delivery.message.body)
        held.settle(delivery.tag, Visible(0) if n < 5 else Leave() if n < 8 else Delete())
    assert settler.flush(30)
    again = queue.receive(10, visibility_seconds=600, wait_seconds=0)
    assert sorted(int(message.body) for message in again) == [0, 1, 2, 3, 4]
    left = queue.attributes()
    assert (left["ApproximateNumberOfMessages"], left["ApproximateNumberOfMessagesNotVisible"]) == ("0", "8")


def test_a_settlement_that_sqs_refuses_stops_none_behind_it(queues: Any) -> None:
    queue = queue_for("articles")
    queue.send(Outgoing("good"))
    (message,) = queue.receive(1, visibility_seconds=600, wait_seconds=0)
    settler = Settler()
    settler.put(Delivery(queue, Message("made-up", "no-such-handle", ""), JOB, "1", Delete()))
    assert settler.flush(30)
    settler.put(Delivery(queue, message, JOB, "2", Delete()))
    assert settler.flush(30)
    with pytest.raises(QueueError):  # it is gone: its handle is good for nothing any more
        queue.change_visibility({message.receipt_handle: 0})


def receive_one(queue: Queue) -> Message:
    """A message that was just sent."""
    queue.send(Outgoing(secrets.token_hex(4)))
    (message,) = queue.receive(1, visibility_seconds=600, wait_seconds=0)
    return message


def outdated(queue: Queue) -> Message:
    """A message that was received again since."""
    message = receive_one(queue)
    queue.change_visibility({message.receipt_handle: 0})
    wait_for(lambda: queue.receive(1, visibility_seconds=600, wait_seconds=0), "the message to come again")
    return message


def test_a_put_off_that_failed_is_said_to_whoever_relies_on_it_and_to_no_other(queues: Any) -> None:
    queue, settler = queue_for("articles"), Settler()
    told: list[str] = []
    acknowledged: list[str] = []
    steps.listeners.append(lambda step, job_id: acknowledged.append(job_id) if step is Step.ACKNOWLEDGED else None)
    try:
        for name, message in (("good", receive_one(queue)), ("bad", outdated(queue)), ("fine", receive_one(queue))):
            delivery = Delivery(queue, message, JobMessage(name, "ada", "articles"), name, Visible(60))
            delivery.on_put_off_failed = partial(told.append, name)
            settler.put(delivery)
        assert settler.flush(30)
    finally:
        steps.listeners.clear()
    assert told == ["bad"]
    assert sorted(acknowledged) == ["fine", "good"]


def test_with_sqs_away_every_put_off_failed_and_nothing_is_acknowledged(queues: Any, sqs_proxy: SqsProxy) -> None:
    queue, settler = queue_for("articles"), Settler()
    messages = [receive_one(queue) for _ in range(3)]
    told: list[int] = []
    acknowledged: list[str] = []
    steps.listeners.append(lambda step, job_id: acknowledged.append(job_id) if step is Step.ACKNOWLEDGED else None)
    sqs_proxy.refuse()
    try:
        for n, message in enumerate(messages):
            settler.put(Delivery(queue, message, JOB, str(n), Visible(60), on_put_off_failed=partial(told.append, n)))
        assert settler.flush(30)
    finally:
        steps.listeners.clear()
    assert (told, acknowledged) == ([0, 1, 2], [])


def test_a_callback_that_breaks_stops_no_settlement_beside_or_behind_it(queues: Any) -> None:
    queue, settler = queue_for("articles"), Settler()
    told: list[str] = []

    def break_down() -> None:
        raise RuntimeError("told to")

    good = receive_one(queue)
    for name, callback in (("first", break_down), ("second", partial(told.append, "second"))):
        settler.put(Delivery(queue, outdated(queue), JOB, name, Visible(60), on_put_off_failed=callback))
    settler.put(Delivery(queue, good, JOB, "good", Delete()))
    assert settler.flush(30)
    assert told == ["second"]
    assert queue.attributes()["ApproximateNumberOfMessagesNotVisible"] == "2"


def test_settlements_of_the_same_moment_share_requests(queues: Any, sqs_proxy: SqsProxy) -> None:
    queue, settler = queue_for("articles"), Settler()
    messages = [receive_one(queue) for _ in range(10)]
    before = sqs_proxy.counts["DeleteMessageBatch"]
    for n, message in enumerate(messages):
        settler.put(Delivery(queue, message, JOB, str(n), Delete()))
    assert settler.flush(30)
    assert sqs_proxy.counts["DeleteMessageBatch"] - before < len(messages)
    assert queue.attributes()["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_while_runs_are_short_there_is_room_for_some_that_wait(held: Deliveries) -> None:
    held.set_capacity(2)
    assert held.wait_for_room(0, "articles") == 2
    held.ran("articles", 0.03)
    assert held.wait_for_room(0, "articles") == 2 + SURPLUS
    for n in range(2 + SURPLUS):
        arrive(held, str(n))
    assert held.wait_for_room(0, "articles") == 0


def test_a_surplus_is_filled_up_once_there_is_room_for_ten(held: Deliveries) -> None:
    held.set_capacity(2)
    held.ran("articles", 0.03)
    waiting = [arrive(held, str(n)) for n in range(2 + SURPLUS)]
    for delivery in waiting[: BATCH_MESSAGES - 1]:
        held.settle(delivery.tag)
        assert held.wait_for_room(0, "articles") == 0
    held.settle(waiting[-1].tag)
    assert held.wait_for_room(0, "articles") == BATCH_MESSAGES


def test_no_more_wait_than_the_slots_do_within_a_second(held: Deliveries) -> None:
    held.set_capacity(2)
    held.ran("articles", 0.5)
    assert held.wait_for_room(0, "articles") == 2 + 4
    waiting = [arrive(held, str(n)) for n in range(2 + 4)]
    held.settle(waiting[0].tag)
    assert held.wait_for_room(0, "articles") == 0  # they are asked for together
    for delivery in waiting[1:4]:
        held.settle(delivery.tag)
    assert held.wait_for_room(0, "articles") == 4


def test_long_runs_end_the_surplus(held: Deliveries) -> None:
    held.set_capacity(2)
    held.ran("articles", 0.05)
    for _ in range(5):
        held.ran("articles", 30)
    assert held.wait_for_room(0, "articles") == 2
    assert held.wait_for_room(0, "images") == 2


def test_a_kind_with_short_runs_takes_no_slot_from_one_that_waits(held: Deliveries) -> None:
    held.set_capacity(1)
    held.ran("articles", 0.05)
    first = arrive(held)
    assert held.wait_for_room(0, "articles") > 0
    rooms: list[int] = []
    waiting = Thread(target=lambda: rooms.append(held.wait_for_room(30, "images")))
    waiting.start()
    wait_for(lambda: held.wait_for_room(0, "articles") == 0, "the other kind to wait")
    held.settle(first.tag)
    waiting.join(30)
    assert rooms == [1]
