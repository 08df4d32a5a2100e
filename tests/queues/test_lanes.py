"""A kind's two lanes: the high one first, the normal one not starved, both heard while nothing comes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import pytest

from queues import clients
from queues.catalogue import HIGH, NORMAL
from queues.deliveries import Deliveries, Delivery
from queues.queue import Outgoing, in_tens, queue_for
from queues.receiver import Receiver
from queues.settling import Settler
from queues.turns import HIGH_IN_A_ROW, Turns
from queues.wire import JobMessage
from tests.workers import wait_for


@pytest.fixture
def held(queues: Any) -> Deliveries:
    """A registry with one place, whose settlements are carried out."""
    registry = Deliveries()
    registry.on_settled = Settler().put
    registry.set_capacity(1)
    return registry


@pytest.fixture
def receivers(
    held: Deliveries, environment: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[Receiver]]:
    """Of both lanes of articles, not started. The parameter is how long a long poll waits."""
    monkeypatch.setattr(Receiver, "paused", staticmethod(lambda kind: False))  # `tasks`, once loaded, has MongoDB asked
    # with a lease longer than a test takes nothing that was received comes again
    environment(LEASE_SECONDS="300", SQS_WAIT_TIME_SECONDS=str(getattr(request, "param", 1)))
    turns = Turns()
    made = [Receiver("articles", held, lane, turns) for lane in (HIGH, NORMAL)]
    yield made
    for receiver in made:
        receiver.stop()
    assert all(not receiver.is_alive or receiver.join(30) for receiver in made)


@pytest.fixture
def asked(receivers: list[Receiver]) -> Iterator[list[tuple[str, int, int]]]:
    """What the receivers ask of SQS: lane, most messages, longest wait."""
    said: list[tuple[str, int, int]] = []
    lane_of = {queue_for("articles", lane).url: lane for lane in (HIGH, NORMAL)}

    def note(params: dict[str, Any], **_: Any) -> None:
        said.append((lane_of[params["QueueUrl"]], params["MaxNumberOfMessages"], params["WaitTimeSeconds"]))

    events = clients.sqs_receiving().meta.events
    events.register("provide-client-params.sqs.ReceiveMessage", note)
    yield said
    events.unregister("provide-client-params.sqs.ReceiveMessage", note)


def put(lane: str, messages: int) -> None:
    for chunk in in_tens(range(messages)):
        queue_for("articles", lane).send_batch([Outgoing(JobMessage(f"{lane}-{n}", "ada", "articles").body()) for n in chunk])


def start(receivers: list[Receiver]) -> None:
    for receiver in receivers:
        receiver.start()


def arrival(held: Deliveries) -> Delivery:
    delivery = held.next_arrival(30)
    assert delivery is not None
    return delivery


def lanes_of(held: Deliveries, arrivals: int) -> list[str]:
    """The lanes of the next so many arrivals, each worked off before the next."""
    lanes = []
    for _ in range(arrivals):
        delivery = arrival(held)
        lanes.append(delivery.job.job_id.partition("-")[0])
        held.settle(delivery.tag)
    return lanes


def test_the_high_lane_is_asked_first(receivers: list[Receiver], held: Deliveries) -> None:
    put(NORMAL, 10)
    put(HIGH, 5)
    start(receivers)
    assert lanes_of(held, 8) == [HIGH] * 5 + [NORMAL] * 3


def test_after_nine_of_the_high_lane_one_of_the_normal_lane_comes(receivers: list[Receiver], held: Deliveries) -> None:
    put(NORMAL, 10)
    put(HIGH, 30)
    start(receivers)
    rows = [(lane, len([*row])) for lane, row in groupby(lanes_of(held, 40))]
    assert rows[:6] == [(HIGH, HIGH_IN_A_ROW), (NORMAL, 1)] * 3
    assert rows[6:] == [(HIGH, 3), (NORMAL, 7)]


def test_the_normal_lane_gets_the_room_that_the_high_one_leaves(receivers: list[Receiver], held: Deliveries) -> None:
    put(NORMAL, 10)
    put(HIGH, 3)
    held.set_capacity(10)
    start(receivers)
    lanes = [arrival(held).job.job_id.partition("-")[0] for _ in range(10)]
    assert lanes == [HIGH] * 3 + [NORMAL] * 7


def test_while_nothing_comes_both_lanes_are_heard_and_asked_by_long_polls_alone(
    receivers: list[Receiver], held: Deliveries, asked: list[tuple[str, int, int]]
) -> None:
    start(receivers)
    wait_for(lambda: len(asked) >= 8, "some receives")
    without_waiting = [each for each in asked if each[2] == 0]
    assert asked[0] == (HIGH, 1, 0)
    assert without_waiting == [(HIGH, 1, 0), (NORMAL, 1, 0)], "each once, the high lane first"
    assert {*asked} - {*without_waiting} == {(HIGH, 1, 1), (NORMAL, 1, 1)}
    for lane in (NORMAL, HIGH):
        put(lane, 1)
        assert lanes_of(held, 1) == [lane]


@pytest.mark.parametrize("receivers", [20], indirect=True)
def test_what_both_long_polls_bring_waits_in_the_process_and_goes_back_to_its_own_lane(
    receivers: list[Receiver], held: Deliveries, asked: list[tuple[str, int, int]]
) -> None:
    start(receivers)
    wait_for(lambda: {(HIGH, 1, 20), (NORMAL, 1, 20)} <= {*asked}, "both long polls")
    for lane in (HIGH, NORMAL):
        put(lane, 1)
    assert {arrival(held).job.job_id, arrival(held).job.job_id} == {"high-0", "normal-0"}
    for receiver in receivers:
        receiver.stop()
    held.release()
    for lane in (HIGH, NORMAL):
        (message,) = queue_for("articles", lane).receive(10, visibility_seconds=60)
        assert lane in message.body


def test_a_missing_high_lane_does_not_stop_the_normal_one(receivers: list[Receiver], held: Deliveries) -> None:
    queue_for("articles", HIGH).remove()
    put(NORMAL, 3)
    start(receivers)
    assert lanes_of(held, 3) == [NORMAL] * 3


def test_a_missing_normal_lane_does_not_stop_the_high_one(receivers: list[Receiver], held: Deliveries) -> None:
    queue_for("articles").remove()
    put(HIGH, HIGH_IN_A_ROW + 3)
    start(receivers)
    assert lanes_of(held, HIGH_IN_A_ROW + 3) == [HIGH] * (HIGH_IN_A_ROW + 3)
