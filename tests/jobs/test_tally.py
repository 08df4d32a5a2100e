"""What a claim counts for, and how long its job waited, over real writes of the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.counters import Gathered, counted
from jobs.database import database as jobs_database
from jobs.document import Job
from jobs.store import store
from jobs.tally import claimed, created, due_at
from tests.jobs.jobs import TOKEN, document
from tests.workers import wait_for


@pytest.fixture(autouse=True)
def nothing_counted(database: Any) -> None:
    counted()  # what earlier tests left in this process is written
    jobs_database().collection("counters").delete_many({})


def counts() -> dict[str, float]:
    """Of jobs. (Messages are counted too, which threads of earlier tests may still settle.)"""
    return {each.name: each.n for each in counted() if "kind" in each.labels}


def claim(job_id: str, token: str) -> Job:
    job = store().claim(job_id, kind="articles", token=token, worker=f"worker of {token}", message_id=None)
    assert job is not None
    return job


def insert(**fields: Any) -> str:
    made = document(**fields)
    jobs_database().collection("jobs").insert_one(made)
    job_id: str = made["_id"]
    return job_id


def test_the_first_claim_is_a_start_and_an_attempt() -> None:
    claimed(claim(insert(), "one"))
    assert counts() == {"attempts": 1, "jobs_started": 1, "job_wait_seconds": 1}


def test_a_claim_after_a_failed_attempt_is_an_attempt_and_no_start() -> None:
    job_id = insert()
    claim(job_id, "one")
    store().retry_later(job_id, "one", seconds=0, code="internal", message="")
    claimed(claim(job_id, "two"))
    assert counts() == {"attempts": 1}


def test_a_claim_of_a_dead_workers_job_is_a_crash_and_no_attempt(database: Any) -> None:
    job_id = insert()
    claim(job_id, "one")
    database.jobs.update_one({"_id": job_id}, {"$set": {"lease.expires_at": datetime.now(UTC) - timedelta(seconds=1)}})
    claimed(claim(job_id, "two"))
    assert counts() == {"crashes": 1}


def test_a_claim_of_a_job_that_waits_again_after_a_crash_is_an_attempt(database: Any) -> None:
    job_id = insert()
    claim(job_id, "one")
    database.jobs.update_one({"_id": job_id}, {"$set": {"lease.expires_at": datetime.now(UTC) - timedelta(seconds=1)}})
    store().recover(job_id)
    claimed(claim(job_id, "two"))
    assert counts() == {"attempts": 1}


def test_a_job_that_is_ordered_again_is_created_once() -> None:
    made = document()
    created([store().insert(made, by="test")])
    store().mark_sent({made["_id"]: "message"}, n=1)
    created([store().insert(made, by="test")])
    assert counts() == {"jobs_created": 1}


def test_what_is_counted_while_the_settings_are_wrong_is_written_once_they_are_right(
    environment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[None] = []

    class Watched(Gathered):
        def flush(self) -> None:
            tries.append(None)
            super().flush()

    monkeypatch.setattr("jobs.counters.FLUSH_SECONDS", 0.01)
    environment(PRICES="{")
    Watched().add(("attempts", (("kind", "articles"),)), {"n": 1})
    wait_for(lambda: len(tries) > 1, "a try after the one that broke")
    environment(PRICES=None)
    assert wait_for(counts, "the count") == {"attempts": 1}


def test_a_job_waits_from_its_first_dispatch_which_a_time_to_start_puts_off() -> None:
    due = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=5)
    dispatch = {"n": 1, "by": "relay", "until": due, "at": due}
    job = claim(insert(created_at=due - timedelta(hours=3), dispatch=dispatch), "one")
    assert due_at(job) == due


def test_a_job_that_was_sent_again_has_waited_since_it_was_ordered() -> None:
    ordered = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=500)
    sent = {"n": 3, "by": "relay", "until": ordered, "at": ordered + timedelta(seconds=400)}
    history = [{"at": ordered, "verb": "submit", "attempt": 0}]
    assert due_at(claim(insert(created_at=ordered, dispatch=sent, history=history), "one")) == ordered


def test_a_job_that_starts_over_has_waited_since_then() -> None:
    long_ago = datetime.now(UTC) - timedelta(days=1)
    job_id = insert(status="failed", created_at=long_ago, finished_at=long_ago)
    requeued = store().requeue(job_id, by="test")
    assert requeued is not None
    job = claim(job_id, TOKEN)
    assert due_at(job) == requeued.history[-1]["at"]
    claimed(job)
    assert counts() == {"attempts": 1, "jobs_started": 1, "job_wait_seconds": 1}
