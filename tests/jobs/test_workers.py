"""The documents of the workers: what they say, and how long they stand."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic
from typing import Any

import pytest

from jobs.database import database as our_database
from jobs.workers import OwnDocument, workers


def written(name: str = "w@host", **fields: Any) -> OwnDocument:
    document = OwnDocument(name)
    now = monotonic()
    document.write(**{"slots": 4, "running": 0, "last_receive": {"articles": now}, "last_attempt": {"articles": now}} | fields)
    return document


def test_a_worker_stands_with_what_it_last_said_in_mongodbs_time(database: Any) -> None:
    document = written(running=1)
    asked = monotonic() - 100
    document.write(slots=4, running=3, last_receive={"articles": asked}, last_attempt={"articles": monotonic()})
    (worker,) = workers()
    assert (worker.name, worker.kinds, worker.slots, worker.running) == ("w@host", ["articles"], 4, 3)
    assert worker.seen_at - worker.last_receive["articles"] >= timedelta(seconds=100)
    assert worker.last_receive["articles"] < worker.last_attempt["articles"] <= worker.seen_at <= worker.read_at
    assert worker.last_receive["articles"] < worker.started_at <= worker.seen_at


def test_a_name_that_looks_like_a_field_of_mongodb_is_only_a_name(database: Any) -> None:
    written("$seen_at")
    assert [worker.name for worker in workers()] == ["$seen_at"]


def test_a_worker_that_ends_in_order_is_gone_at_once(database: Any) -> None:
    document = written()
    written("other@host")
    document.remove()
    assert [worker.name for worker in workers()] == ["other@host"]


def test_the_end_of_a_process_leaves_the_document_of_the_one_that_took_its_name_over(database: Any) -> None:
    document = written()
    database.workers.update_one({"_id": "w@host"}, {"$inc": {"pid": 1}})
    document.remove()
    assert [worker.name for worker in workers()] == ["w@host"]


@pytest.mark.parametrize(("beats", "stands"), [(2.5, True), (3.5, False)])
def test_a_worker_silent_for_three_beats_is_gone(database: Any, environment: Any, beats: float, stands: bool) -> None:
    environment(LEASE_SECONDS="300")  # a beat of 100 s
    written()
    passed = {"$subtract": ["$gone_at", beats * 100_000]}
    database.workers.update_one({}, [{"$set": {"gone_at": passed}}])
    assert [worker.name for worker in workers()] == (["w@host"] if stands else [])


def test_documents_of_workers_killed_long_ago_go_by_themselves(database: Any) -> None:
    index = our_database().collection("workers").index_information()["long_gone"]
    assert (index["key"], index["expireAfterSeconds"]) == ([("seen_at", 1)], 86_400)
