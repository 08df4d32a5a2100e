"""Collections, validator and indexes, made by whoever comes first; and MongoDB's time, asked for now and then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from jobs.database import INDEXES, TOLD_SECONDS, Database, available, quiet_seconds_left
from jobs.pace import pace
from tests.jobs.clocks import Clocks
from tests.jobs.jobs import document


@pytest.fixture
def empty(mongo_client: MongoClient[Any]) -> Iterator[Any]:
    """A database that nobody has prepared."""
    name = f"{os.environ['MONGODB_DATABASE']}_empty"
    yield mongo_client[name]
    mongo_client.drop_database(name)


def prepare(empty: Any) -> None:
    Database(os.environ["MONGODB_URI"], empty.name).prepare()


def names_of_indexes(empty: Any) -> set[str]:
    return {*empty.jobs.index_information()} - {"_id_"}


def test_several_processes_may_make_them_at_once(empty: Any) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: prepare(empty), range(6)))
    assert names_of_indexes(empty) == {index.document["name"] for index in INDEXES["jobs"]}


def test_an_index_that_an_earlier_release_described_otherwise_is_replaced(empty: Any) -> None:
    wanted = INDEXES["jobs"][0].document
    empty.jobs.create_index([("something_else", 1)], name=wanted["name"])
    prepare(empty)
    assert empty.jobs.index_information()[wanted["name"]]["key"] == [*wanted["key"].items()]


def test_a_validator_of_an_earlier_release_is_brought_up_to_date(empty: Any) -> None:
    empty.create_collection("jobs", validator={"nothing": 1})
    prepare(empty)
    assert (
        "$jsonSchema"
        in empty.command("listCollections", filter={"name": "jobs"})["cursor"]["firstBatch"][0]["options"]["validator"]
    )


@pytest.mark.parametrize("wish", ["readPreference=secondary", "w=1", "retryWrites=false"])
def test_what_was_written_is_what_is_read_whatever_the_address_asks_for(wish: str, mongodb: str, database: Any) -> None:
    jobs = Database(f"{mongodb}&{wish}", database.name).collection("jobs")
    job = document()
    jobs.insert_one(job)
    assert jobs.find_one({"_id": job["_id"]}) is not None
    assert jobs.write_concern.document == {"w": "majority"}


def asked(source: Database) -> datetime:
    """MongoDB's time, which must have been asked for just now: MongoDB's clock is this machine's, and keeps milliseconds."""
    before = datetime.now(UTC)
    now = source.now()
    assert before - timedelta(milliseconds=1) < now <= datetime.now(UTC)
    return now


def test_mongodbs_time_is_asked_for_now_and_then_and_reckoned_meanwhile(mongodb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clocks, source = Clocks(monkeypatch), Database(mongodb, "unused")
    told = asked(source)
    clocks.go_on(TOLD_SECONDS)
    assert source.now() == told + timedelta(seconds=TOLD_SECONDS)
    clocks.go_on(0.1)
    asked(source)


def test_mongodbs_time_is_asked_for_after_this_machine_has_slept(mongodb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clocks, source = Clocks(monkeypatch), Database(mongodb, "unused")
    asked(source)
    clocks.go_on(TOLD_SECONDS - 1)
    clocks.sleep(1)
    asked(source)


def test_mongodbs_time_does_not_go_back_because_its_answer_was_long_on_its_way(
    mongodb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks, source = Clocks(monkeypatch), Database(mongodb, "unused")
    told, command = asked(source), source._database.command

    def slowly(name: str) -> Any:
        answer = command(name)
        clocks.go_on(10)
        return answer

    monkeypatch.setattr(source._database, "command", slowly)
    assert source.ask_now() == told + timedelta(seconds=10)


def test_a_process_is_quiet_after_mongodb_began_to_answer_and_after_its_machine_has_slept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clocks = Clocks(monkeypatch)
    monkeypatch.setattr("jobs.database._answering_since", [])
    assert quiet_seconds_left() == pace().quiet
    with available():
        pass
    clocks.go_on(pace().quiet)
    assert quiet_seconds_left() == 0
    clocks.sleep(pace().beat / 2)  # no lease runs out meanwhile
    assert quiet_seconds_left() == 0
    clocks.sleep(pace().lease)
    assert quiet_seconds_left() > pace().beat
    clocks.go_on(pace().quiet)
    assert quiet_seconds_left() == 0
