"""Changes of jobs and texts, as MongoDB tells them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from devstack import mongod
from devstack.forwarder import Forwarder
from devstack.server import Server, free_port
from devstack.watchdog import Watchdog
from jobs.changes import JOBS, TEXTS, Change, changes, read_jobs
from jobs.life import Status
from jobs.store import store
from jobs.texts import TextStream
from tests.jobs.jobs import TOKEN, document
from tests.workers import wait_for

MOST_ASKED = 40
"""How often it is asked whether changes are wanted, each second at least: a change that does not come fails its test."""


def feed(*watched: str) -> Iterator[Change | None]:
    asked = iter(range(MOST_ASKED))
    return changes(watched=lambda: watched, is_wanted=lambda: next(asked, None) is not None)


def test_every_verb_and_every_flush_of_text_is_told_but_no_renewal_of_a_lease(database: Any) -> None:
    job = document(Status.PROCESSING)
    database.jobs.insert_one(job)
    heard = feed()
    assert next(heard) is None
    store().renew([TOKEN])
    store().progress(job["_id"], TOKEN, percent=10, stage="Writing")
    (claimed,) = read_jobs([job["_id"]])
    text = TextStream(claimed)
    text.add("Bees")
    store().complete(job["_id"], TOKEN, result={}, usage={})
    told = [next(heard) for _ in range(4)]
    assert told == [Change(JOBS, job["_id"]), Change(TEXTS, job["_id"]), Change(TEXTS, job["_id"]), Change(JOBS, job["_id"])]


def test_what_changes_while_mongodb_is_away_is_told_once_it_is_back(database: Any, environment: Any) -> None:
    address = urlsplit(os.environ["MONGODB_URI"])
    with Forwarder(str(address.hostname), int(address.port or 0)) as forwarder:
        environment(MONGODB_URI=f"mongodb://{forwarder.address}/?directConnection=true")
        asked: list[int] = []

        def is_wanted() -> bool:  # asked again after a failure
            asked.append(len(asked))
            if len(asked) == 2:
                forwarder.restore()
            return len(asked) < MOST_ASKED

        heard = changes(watched=list, is_wanted=is_wanted)
        assert next(heard) is None
        first, second = document(), document()
        database.jobs.insert_one(first)
        assert next(heard) == Change(JOBS, first["_id"])
        asked.clear()
        forwarder.cut()
        database.jobs.insert_one(second)
        assert next(heard) == Change(JOBS, second["_id"])
        assert len(asked) >= 2


def test_where_the_stream_cant_go_on_everything_is_to_be_looked_at_again(
    database: Any, mongo_client: Any, environment: Any
) -> None:
    other = f"{database.name}_dropped"
    environment(MONGODB_DATABASE=other)
    mongo_client[other].jobs.insert_one(document())
    heard = feed()
    assert next(heard) is None
    mongo_client.drop_database(other)
    assert next(heard) is None


@pytest.fixture
def standalone(tmp_path: Path, watchdog: Watchdog) -> Iterator[str]:
    """A MongoDB that is no replica set: it has no change streams."""
    port = free_port()
    program = [str(mongod.find()), "--bind_ip", "127.0.0.1", "--port", str(port), "--dbpath", str(tmp_path), "--nounixsocket"]
    server = Server("MongoDB", watchdog.command([*program, "--quiet"], "store"), tmp_path / "log")
    uri = f"mongodb://127.0.0.1:{port}/"
    wait_for(lambda: answers(uri), "MongoDB")
    yield uri
    server.stop()


def answers(uri: str) -> bool:
    try:
        with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=1_000) as client:
            return bool(client.admin.command("ping"))
    except PyMongoError:
        return False


def test_without_change_streams_the_watched_jobs_are_looked_at(standalone: str, environment: Any) -> None:
    environment(MONGODB_URI=standalone)
    job = document(Status.PROCESSING)
    with MongoClient[dict[str, Any]](standalone) as client:
        database = client[os.environ["MONGODB_DATABASE"]]
        database.jobs.insert_many([job, document()])
        heard = feed(job["_id"])
        assert [next(heard), next(heard)] == [None, Change(JOBS, job["_id"])]
        database.jobs.update_one({"_id": job["_id"]}, {"$inc": {"version": 1}})
        assert next(heard) == Change(JOBS, job["_id"])
        database.texts.insert_one({"_id": job["_id"], "token": "t", "text": "Bees"})
        assert next(heard) == Change(TEXTS, job["_id"])
