"""Queues that nothing is received from: by hand, and for the outage of the default provider."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.uri_parser import parse_uri

from devstack.forwarder import Forwarder
from jobs.database import DatabaseUnavailable
from jobs.outages import outages
from jobs.pauses import pauses
from tests.other_processes import at_once
from tests.workers import wait_for

MEDIA = frozenset({"images", "videos"})


@pytest.fixture(autouse=True)
def default_provider(database: Any, environment: Callable[..., None]) -> None:
    environment(AI_PROVIDER="local", LEASE_SECONDS="600")  # no probe comes due by itself


def end_of_outage(database: Any) -> None:
    database.outages.update_one({}, {"$set": {"next_probe_at": datetime.now(UTC) - timedelta(seconds=1)}})
    won = outages().win_probe("local")
    assert won is not None
    outages().close(won)


def test_a_queue_paused_by_hand_says_why_since_when_and_by_whom(database: Any) -> None:
    pauses().pause("videos", "the bill", "ada")
    assert pauses().is_paused("videos")
    assert not pauses().is_paused("articles")
    pause = pauses().known()["videos"]
    assert (pause.reason, pause.by, pause.next_try) == ("the bill", "ada", None)
    assert abs(pause.since - datetime.now(UTC)) < timedelta(minutes=1)


def test_other_processes_see_the_pause(database: Any) -> None:
    pauses().pause("videos", "$cost", "ada")
    look = (
        "from jobs.pauses import pauses; print(json.dumps([pauses().is_paused('videos'), pauses().known()['videos'].reason]))"
    )
    assert at_once(1, then=look) == [[True, "$cost"]]


def test_pausing_again_gives_another_reason_and_keeps_the_time(database: Any) -> None:
    pauses().pause("videos", "the bill", "ada")
    first = pauses().known()["videos"]
    pauses().pause("videos", "the flood", "bob")
    second = pauses().known()["videos"]
    assert (second.reason, second.by, second.since) == ("the flood", "bob", first.since)


def test_anybody_resumes_what_was_paused_by_hand(database: Any) -> None:
    pauses().pause("videos", "the bill", "ada")
    assert pauses().resume("videos", "bob")
    assert not pauses().is_paused("videos")
    assert not pauses().resume("videos", "bob")


def test_there_are_no_pauses_of_kinds_that_are_not(database: Any) -> None:
    with pytest.raises(KeyError, match="no kind 'vidoes'"):
        pauses().pause("vidoes", "a slip", "ada")
    with pytest.raises(KeyError, match="no kind 'vidoes'"):
        pauses().resume("vidoes", "ada")


def test_an_outage_of_the_default_provider_pauses_the_kinds_it_serves_and_says_why(database: Any) -> None:
    outage = outages().open("local", "no connection", MEDIA)
    assert {*pauses().known()} == MEDIA
    pause = pauses().known()["images"]
    assert (pause.reason, pause.by) == ("provider local is down: no connection", "outage")
    assert (pause.since, pause.next_try) == (outage.since, outage.next_probe_at)
    end_of_outage(database)
    assert pauses().known() == {}


def test_an_outage_of_another_provider_pauses_nothing(database: Any) -> None:
    outages().open("openai", "no connection", MEDIA)
    assert pauses().known() == {}


def test_a_change_of_the_default_provider_ends_the_pause(database: Any, environment: Callable[..., None]) -> None:
    outages().open("local", "no connection", MEDIA)
    environment(AI_PROVIDER="openai", OPENAI_API_KEY="any")
    assert pauses().known() == {}


def test_a_pause_by_hand_and_an_outages_pause_end_each_for_itself(database: Any) -> None:
    outages().open("local", "no connection", MEDIA)
    pauses().pause("images", "the bill", "ada")
    assert pauses().known()["images"].by == "ada"
    pauses().resume("images", "ada")
    assert pauses().known()["images"].by == "outage"
    pauses().pause("images", "the bill", "ada")
    end_of_outage(database)
    assert {kind: pause.by for kind, pause in pauses().known().items()} == {"images": "ada"}


def test_an_outage_that_nobody_probes_any_more_pauses_nothing_so_that_the_next_job_does(database: Any) -> None:
    outages().open("local", "no connection", MEDIA)
    assert pauses().is_paused("images")
    database.outages.update_one({}, {"$set": {"next_probe_at": datetime.now(UTC) - timedelta(hours=1)}})
    outages()._seen.forget()
    assert not pauses().is_paused("images")


@pytest.fixture
def cable(mongodb: str, environment: Callable[..., None]) -> Iterator[Forwarder]:
    """The way to MongoDB, which can be cut."""
    host, port = parse_uri(mongodb)["nodelist"][0]
    with Forwarder(str(host), int(port or 27017)) as forwarder:
        environment(MONGODB_URI=f"mongodb://{forwarder.address}/?directConnection=true", AI_PROVIDER="local")
        yield forwarder


def test_with_mongodb_away_a_queue_stays_as_it_was(
    database: Any, cable: Forwarder, mongo_client: MongoClient[dict[str, Any]]
) -> None:
    pauses().pause("videos", "the bill", "ada")
    assert pauses().is_paused("videos")
    cable.cut()
    pauses()._seen.forget()
    assert pauses().is_paused("videos")
    assert not pauses().is_paused("articles")
    with pytest.raises(DatabaseUnavailable):
        pauses().resume("videos", "ada")
    mongo_client[os.environ["MONGODB_DATABASE"]].pauses.delete_many({})
    cable.restore()
    wait_for(lambda: not pauses().is_paused("videos"), "the end of the pause to be seen")
