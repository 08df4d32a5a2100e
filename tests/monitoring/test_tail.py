"""Readers of the monitor's store hear what is said from now on, whatever happens to their cursors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pymongo.database import Database
from structlog.typing import EventDict

from devstack.forwarder import Forwarder
from monitoring.store import CONTROL, EVENTS, MonitorStore, monitor_store
from monitoring.tail import Tail
from tests.tasks.test_worker import host_and_port
from tests.workers import wait_for

SAID = {"exchange": "x", "routing_key": "y"}
BURST = 2_000
"""Documents that overrun a small collection."""


@pytest.fixture
def store(database: Database[dict[str, Any]]) -> MonitorStore:
    """The store as it is in a database that has never seen a monitor."""
    database[EVENTS].drop()
    database[CONTROL].drop()
    monitor_store.cache_clear()
    return monitor_store()


def listener(store: MonitorStore, name: str = EVENTS, **wanted: str) -> Tail:
    return Tail(store, name, wanted or {"exchange": "x"}, await_seconds=0.1)


def heard(tail: Tail, last: int) -> list[int]:
    """The numbers that a reader hears, up to `last`."""
    numbers: list[int] = []

    def is_over() -> bool:
        if (document := tail.next()) is not None:
            numbers.append(document["n"])
        return numbers[-1:] == [last]

    wait_for(is_over, f"the reader to hear {last}")
    return numbers


def say(store: MonitorStore, *numbers: int, name: str = EVENTS, **more: str) -> None:
    for n in numbers:
        store.append(name, {**SAID, **more, "n": n})


def test_in_an_empty_database_the_first_word_is_heard(store: MonitorStore) -> None:
    tail = listener(store)
    assert tail.next() is None
    say(store, 1)
    assert heard(tail, 1) == [1]


def test_a_reader_hears_everything_from_now_on_and_nothing_from_before(store: MonitorStore) -> None:
    say(store, 1, 2)
    tail = listener(store)
    say(store, 3, 4)
    assert heard(tail, 4) == [3, 4]
    say(store, 5)
    assert heard(tail, 5) == [5]


def test_a_reader_hears_only_what_is_for_it(store: MonitorStore) -> None:
    tail = listener(store, exchange="x", routing_key="me")
    say(store, 1)
    say(store, 2, exchange="z", routing_key="me")
    say(store, 3, routing_key="me")
    assert heard(tail, 3) == [3]


@pytest.mark.parametrize(
    "harm",
    [
        lambda database: database[EVENTS].delete_many({}),
        lambda database: database[EVENTS].drop(),
        lambda database: database.client.drop_database(database.name),
    ],
    ids=["emptied", "dropped", "its database dropped"],
)
def test_a_reader_whose_collection_is_taken_away_hears_what_comes_after(
    harm: Callable[[Database[dict[str, Any]]], None], store: MonitorStore, database: Database[dict[str, Any]]
) -> None:
    tail = listener(store)
    say(store, 1)
    assert heard(tail, 1) == [1]
    harm(database)
    say(store, 2)  # makes the collection anew, if it was dropped
    say(store, 3)
    assert heard(tail, 3) == [2, 3]
    assert database[EVENTS].options()["capped"]


@pytest.mark.long
def test_a_reader_that_was_overtaken_goes_on_with_what_is_left_and_says_so(
    store: MonitorStore, database: Database[dict[str, Any]], logged_by: Callable[[str], list[EventDict]]
) -> None:
    database.create_collection(EVENTS, capped=True, size=65_536)
    tail = listener(store)
    say(store, 0)
    assert heard(tail, 0) == [0]
    say(store, *range(1, BURST + 1))
    logs = logged_by("monitoring.tail")
    numbers = heard(tail, BURST)
    assert numbers == [*range(numbers[0], BURST + 1)]
    assert numbers[0] > 1
    assert "the monitor was overtaken; what was said meanwhile is skipped" in [entry["event"] for entry in logs]


def test_no_burst_of_events_drowns_a_command(store: MonitorStore, database: Database[dict[str, Any]]) -> None:
    database.create_collection(EVENTS, capped=True, size=65_536)
    tail = listener(store, CONTROL)
    say(store, 1, name=CONTROL)
    say(store, *range(BURST))
    assert heard(tail, 1) == [1]


def test_a_reader_hears_what_was_said_while_it_could_not_reach_the_store(
    store: MonitorStore, database: Database[dict[str, Any]], logged_by: Callable[[str], list[EventDict]]
) -> None:
    with Forwarder(*host_and_port(store.uri)) as between:
        far = MonitorStore(f"mongodb://{between.address}/?directConnection=true", database.name)
        tail = listener(far)
        say(store, 1)
        assert heard(tail, 1) == [1]
        between.cut()
        logs = logged_by("monitoring.tail")
        wait_for(lambda: tail.next() is None and logs, "the reader to notice")
        say(store, 2)
        between.restore()
        assert heard(tail, 2) == [2]
