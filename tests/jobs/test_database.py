"""Collections, validator and indexes, made by whoever comes first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pymongo import MongoClient

from jobs.database import INDEXES, Database


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
