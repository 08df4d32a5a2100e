"""Events wait for nobody, and nobody waits for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from kombu import Connection, Consumer, Exchange, Queue
from pymongo.database import Database

from devstack.forwarder import Forwarder
from monitoring.connection import monitor_connection
from monitoring.outbox import Outbox
from monitoring.store import EVENTS
from tests.tasks.test_worker import host_and_port
from tests.workers import PATIENCE_SECONDS, wait_for

EXCHANGE = "celeryev"
MOST = 50


@pytest.fixture
def between(database: Database[dict[str, Any]], environment: Callable[..., None], mongodb: str) -> Iterator[Forwarder]:
    """What stands before the monitor's store; the jobs' MongoDB is reached without it."""
    with Forwarder(*host_and_port(mongodb)) as forwarder:
        environment(MONITOR_URL=f"mongodb://{forwarder.address}/{database.name}?directConnection=true")
        yield forwarder


@pytest.fixture
def heard(between: Forwarder) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Call it for the events that a reader has heard so far."""
    events: list[dict[str, Any]] = []
    connection: Connection = monitor_connection()
    queue = Queue("reader", Exchange(EXCHANGE, type="topic"), routing_key="#")

    def read() -> list[dict[str, Any]]:
        with suppress(TimeoutError):
            connection.drain_events(timeout=0.2)
        return events

    with connection, Consumer(connection, [queue], callbacks=[lambda body, message: events.extend(body)], no_ack=True):
        yield read


def put(outbox: Outbox, *numbers: int) -> None:
    for n in numbers:
        outbox.put(lambda n=n: {"n": n})  # type: ignore[misc]  # a default binds the loop's value


def test_events_arrive_in_their_order(heard: Callable[[], list[dict[str, Any]]]) -> None:
    outbox = Outbox(EXCHANGE, "json")
    put(outbox, *range(250))
    wait_for(lambda: len(heard()) >= 250, "the events")
    assert [event["n"] for event in heard()] == [*range(250)]


def test_what_has_nothing_to_say_sends_nothing_and_what_breaks_stops_nobody(heard: Callable[[], list[dict[str, Any]]]) -> None:
    outbox = Outbox(EXCHANGE, "json")
    outbox.put(lambda: None)
    outbox.put(lambda: {"n": object()})
    assert outbox.flush(PATIENCE_SECONDS)
    put(outbox, 1)
    wait_for(heard, "the event after them")
    assert heard() == [{"n": 1}]
    assert outbox.flush(PATIENCE_SECONDS)  # what was dropped is counted by then


def lost(between: Forwarder, database: Database[dict[str, Any]]) -> None:
    between.cut()


def silent(between: Forwarder, database: Database[dict[str, Any]]) -> None:
    between.hold()


def full(between: Forwarder, database: Database[dict[str, Any]]) -> None:
    """Every insert is refused."""
    database.command("collMod", EVENTS, validator={"$expr": False})


@pytest.mark.parametrize("away", [lost, silent, full])
def test_with_the_store_away_the_oldest_are_dropped_and_counted_and_the_rest_is_sent_when_it_is_back(
    away: Callable[[Forwarder, Database[dict[str, Any]]], None],
    between: Forwarder,
    heard: Callable[[], list[dict[str, Any]]],
    database: Database[dict[str, Any]],
) -> None:
    outbox = Outbox(EXCHANGE, "json", most=MOST)
    put(outbox, -1)
    wait_for(heard, "the first event")
    away(between, database)
    put(outbox, *range(10 * MOST))
    assert not outbox.flush(0.1)
    between.restore()
    database.command("collMod", EVENTS, validator={})
    assert outbox.flush(PATIENCE_SECONDS)
    wait_for(lambda: heard()[-1]["n"] == 10 * MOST - 1, "the newest event")
    dropped = wait_for(lambda: database["counters"].find_one({"_id.name": "monitor_dropped"}), "the count")["n"]
    assert len({event["n"] for event in heard()}) == 1 + 10 * MOST - dropped
    assert dropped >= 10 * MOST - MOST - 100
