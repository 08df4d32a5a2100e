"""The receive loop, against a real SQS that is taken away, throttled, paused and fed with rubbish."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from queues import clients, steps
from queues.catalogue import kind_named
from queues.deliveries import Deliveries, Delivery, SetAside, Visible
from queues.queue import Outgoing, dead_letters_of, queue_for
from queues.receiver import Receiver, running
from queues.settling import Settler
from queues.steps import Step
from queues.wire import JobMessage, attributes
from tests.sqs import SqsProxy
from tests.workers import wait_for

GOOD = JobMessage("abc", "ada", "articles")
PART_OF_A_RECEIVE = frozenset({Step.POLLING, Step.RECEIVED})
NEWER = json.dumps({"jobId": "abc", "userId": "ada", "type": "articles", "version": "2", "new": True})


@pytest.fixture
def settled() -> list[Delivery]:
    return []


@pytest.fixture
def settler() -> Settler:
    return Settler()


@pytest.fixture
def held(settled: list[Delivery], settler: Settler) -> Deliveries:
    registry = Deliveries()
    registry.set_capacity(10)

    def settle(delivery: Delivery) -> None:
        settled.append(delivery)
        settler.put(delivery)

    registry.on_settled = settle
    return registry


@pytest.fixture
def receiver(queues: Any, held: Deliveries, environment: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver of articles, not started."""
    monkeypatch.setattr(Receiver, "paused", staticmethod(lambda kind: False))  # `tasks`, once loaded, has MongoDB asked
    environment(LEASE_SECONDS="3")
    made = Receiver("articles", held)
    yield made
    made.stop()
    assert not made.is_alive or made.join(30)


def bodies_in_dead_letters() -> dict[str, dict[str, str]]:
    """Bodies and attributes of the messages in the dead-letter queue; they stay there."""
    found = dead_letters_of("articles").receive(10, visibility_seconds=0, wait_seconds=0)
    return {message.body: message.attributes for message in found}


def in_queue() -> int:
    found = queue_for("articles").attributes()
    return int(found["ApproximateNumberOfMessages"]) + int(found["ApproximateNumberOfMessagesNotVisible"])


def test_what_is_received_arrives_and_every_step_is_said(receiver: Receiver, held: Deliveries) -> None:
    said: list[tuple[Step, str]] = []
    steps.listeners.append(lambda step, job_id: said.append((step, job_id)) if step in PART_OF_A_RECEIVE else None)
    try:
        queue_for("articles").send(Outgoing(GOOD.body()))
        receiver.start()
        delivery = held.next_arrival(30)
    finally:
        steps.listeners.clear()
    assert delivery is not None
    assert delivery.job.job_id == "abc"
    assert said[:2] == [(Step.POLLING, "articles"), (Step.RECEIVED, "abc")]


@pytest.mark.parametrize(
    "break_it",
    [SqsProxy.refuse, lambda proxy: proxy.hang(), lambda proxy: proxy.fail(500), lambda proxy: proxy.throttle()],
    ids=["refused", "time-outs", "5xx", "throttled"],
)
def test_with_sqs_away_it_tries_on_and_goes_on_when_it_is_back(
    break_it: Callable[[SqsProxy], None],
    receiver: Receiver,
    held: Deliveries,
    sqs_proxy: SqsProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clients, "READ_SECONDS", 0.5)
    queue_for("articles").send(Outgoing(GOOD.body()))
    break_it(sqs_proxy)
    receiver.start()
    began = receiver.last_attempt
    wait_for(lambda: receiver.last_attempt > began, "another attempt")
    first = receiver.last_attempt
    wait_for(lambda: receiver.last_attempt > first, "an attempt after the wait")
    assert receiver.last_receive < began
    assert len(held) == 0
    sqs_proxy.well()
    assert held.next_arrival(30) is not None
    wait_for(lambda: receiver.last_receive > began, "the receive to be noted")


def test_an_attempt_is_noted_before_it_is_said_that_one_is_expected(receiver: Receiver, held: Deliveries) -> None:
    held.set_capacity(0)
    receiver.start()
    before = receiver.last_attempt
    assert receiver in running
    assert not receiver.had_room
    held.set_capacity(1)
    wait_for(lambda: receiver.had_room, "room")
    assert receiver.last_attempt > before


def test_a_paused_queue_is_not_received_from_and_goes_on(
    receiver: Receiver, held: Deliveries, sqs_proxy: SqsProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_paused = {"articles": True}
    monkeypatch.setattr(Receiver, "paused", staticmethod(lambda kind: is_paused[kind]))
    queue_for("articles").send(Outgoing(GOOD.body()))
    before = sqs_proxy.counts["ReceiveMessage"]
    receiver.start()
    wait_for(lambda: receiver.is_paused, "the pause")
    assert (len(held), sqs_proxy.counts["ReceiveMessage"]) == (0, before)
    is_paused["articles"] = False
    assert held.next_arrival(30) is not None
    assert not receiver.is_paused


@pytest.fixture(params=["paused", "stopped"])
def not_wanted_meanwhile(request: pytest.FixtureRequest, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The queue is paused, or the receiver stopped, while a receive is under way."""

    def happen(step: Step, job_id: str) -> None:
        if step is Step.POLLING and request.param == "paused":
            monkeypatch.setattr(Receiver, "paused", staticmethod(lambda kind: True))
        elif step is Step.POLLING:
            receiver.stop()

    steps.listeners.append(happen)
    yield
    steps.listeners.clear()


def test_what_comes_while_nobody_wants_it_any_more_is_put_back(
    receiver: Receiver, held: Deliveries, not_wanted_meanwhile: None
) -> None:
    queue_for("articles").send(Outgoing(GOOD.body()))
    receiver.start()
    wait_for(lambda: receiver.received.rate > 0, "the message to be received")
    wait_for(lambda: queue_for("articles").depth().visible == 1, "the message to be put back")
    assert len(held) == 0


def test_what_would_be_a_dead_letter_if_put_back_is_taken_even_then(
    receiver: Receiver, held: Deliveries, not_wanted_meanwhile: None
) -> None:
    queue = queue_for("articles")
    queue.send(Outgoing(GOOD.body()))
    for _ in range(kind_named("articles").max_receives - 1):
        queue.change_visibility({queue.receive(1, visibility_seconds=30)[0].receipt_handle: 0})
    receiver.start()
    assert held.next_arrival(30) is not None


def test_rubbish_is_in_the_dead_letters_with_its_attributes_and_the_reason_and_stops_nothing_behind_it(
    receiver: Receiver, held: Deliveries
) -> None:
    given = attributes("articles", "high") | {"Weight": {"DataType": "Number", "StringValue": "7"}}
    rubbish = ['{"jobId": 7}', "[" * 100_000, '{"jobId": "a", "userId": "\\ud800", "type": "articles"}']
    rubbish.append(JobMessage("abc", "ada", "images").body())
    for body in rubbish:
        queue_for("articles").send(Outgoing(body, given))
    queue_for("articles").send(Outgoing(GOOD.body()))
    receiver.start()
    delivery = held.next_arrival(30)
    assert delivery is not None
    assert delivery.job.job_id == "abc"
    wait_for(lambda: len(bodies_in_dead_letters()) == len(rubbish), "the dead letters")
    found = bodies_in_dead_letters()
    assert found.keys() == {*rubbish}
    assert found['{"jobId": 7}'] == {
        "JobType": "articles",
        "Priority": "high",
        "Weight": "7",
        "Reason": "field jobId is missing or not a text",
    }
    assert found[rubbish[3]]["Reason"] == "field type is 'images', but this is the queue of articles"
    wait_for(lambda: in_queue() == 1, "the rubbish to be off the queue")


def test_with_ten_attributes_one_makes_way_for_the_reason(receiver: Receiver) -> None:
    ten = {f"A{n}": {"DataType": "String", "StringValue": "x"} for n in range(10)}
    queue_for("articles").send(Outgoing("rubbish", ten))
    receiver.start()
    found = wait_for(bodies_in_dead_letters, "the dead letter")
    assert len(found["rubbish"]) == 10
    assert "the body is not JSON" in found["rubbish"]["Reason"]


def test_without_a_dead_letter_queue_rubbish_is_left_and_said_once(
    receiver: Receiver,
    held: Deliveries,
    settler: Settler,
    settled: list[Delivery],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    environment: Any,
) -> None:
    environment(LEASE_SECONDS="300")  # or what is left comes again, until SQS itself moves it to nowhere
    clients.sqs().delete_queue(QueueUrl=dead_letters_of("articles").url)
    for n in range(3):
        queue_for("articles").send(Outgoing(f"rubbish {n}"))
    queue_for("articles").send(Outgoing(GOOD.body()))
    receiver.start()
    assert held.next_arrival(30) is not None
    wait_for(lambda: len(settled) >= 3, "the rubbish to be looked at")
    assert settler.flush(30)
    said = capsys.readouterr().out + caplog.text  # the one where logging is configured, the other where it is not
    assert said.count("the dead-letter queue takes nothing") == 1
    assert "Make it with `python -m queues.provision`" in said
    assert in_queue() == 4


def test_a_newer_releases_message_waits_for_a_worker_that_reads_it(
    receiver: Receiver, held: Deliveries, settled: list[Delivery]
) -> None:
    queue_for("articles").send(Outgoing(NEWER))
    receiver.start()
    wait_for(lambda: settled, "the message to be answered")
    assert settled[0].settlement == Visible(30)
    assert bodies_in_dead_letters() == {}
    assert in_queue() == 1


def test_a_newer_releases_message_is_never_put_back_on_its_last_receive(receiver: Receiver, settled: list[Delivery]) -> None:
    queue = queue_for("articles")
    queue.send(Outgoing(NEWER))
    for _ in range(kind_named("articles").max_receives - 1):
        (message,) = wait_for(lambda: queue.receive(1, visibility_seconds=60, wait_seconds=0), "the message")
        queue.change_visibility({message.receipt_handle: 0})
    receiver.start()
    found = wait_for(bodies_in_dead_letters, "the dead letter")
    assert found[NEWER]["Reason"] == "field version is '2'; this release reads '1'"
    assert isinstance(settled[0].settlement, SetAside)


def test_receives_ask_for_the_free_slots(receiver: Receiver, held: Deliveries) -> None:
    queue_for("articles").send_batch([Outgoing(JobMessage(str(n), "ada", "articles").body()) for n in range(5)])
    held.set_capacity(2)
    receiver.start()
    first, _ = held.next_arrival(30), held.next_arrival(30)
    assert first is not None
    wait_for(lambda: not receiver.had_room, "the receiver to be without room")
    assert len(held) == 2
    held.settle(first.tag)
    assert held.next_arrival(30) is not None


def test_where_runs_are_short_a_receive_brings_ten_and_the_surplus_waits(
    receiver: Receiver, held: Deliveries, sqs_proxy: SqsProxy
) -> None:
    queue_for("articles").send_batch([Outgoing(JobMessage(str(n), "ada", "articles").body()) for n in range(10)])
    held.set_capacity(1)
    held.ran("articles", 0.1)
    receiver.start()
    wait_for(lambda: len(held) == 10, "ten deliveries")


def test_a_stopped_receiver_ends(receiver: Receiver) -> None:
    receiver.start()
    receiver.stop()
    assert receiver.join(30)
    assert receiver not in running
