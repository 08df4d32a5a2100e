"""Parked jobs, counted and made due by the reason they wait for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.document import Job
from jobs.store import store
from jobs.waiting import OUTAGE, RATE_LIMIT, _parked, waiting
from tests.jobs.jobs import document

LATER = datetime.now(UTC) + timedelta(days=1)


def park(database: Any, reason: str = OUTAGE, **fields: Any) -> str:
    made = document("queued", not_before=LATER, waiting_for={"reason": reason, "until": LATER}, **fields)
    database.jobs.insert_one(made)
    return str(made["_id"])


def read(job_id: str) -> Job:
    job = store().get(job_id)
    assert job is not None
    assert job.not_before is not None
    return job


@pytest.fixture(autouse=True)
def default_provider(database: Any, environment: Callable[..., None]) -> None:
    environment(AI_PROVIDER="local")
    waiting().count(OUTAGE, "local", most=1)  # makes the collection and its indexes


def test_jobs_that_wait_for_a_provider_are_made_due_and_no_others(database: Any) -> None:
    by_default, by_name = park(database), park(database, provider="local")
    others = [park(database, provider="openai"), park(database, RATE_LIMIT)]
    assert waiting().due_in(OUTAGE, "local", seconds=0, within=0) == 2
    for job_id in (by_default, by_name):
        job = read(job_id)
        assert job.not_before != LATER
        assert job.waiting_for == {"reason": OUTAGE, "until": job.not_before}
        assert job.version == 2
    assert [read(job_id).version for job_id in others] == [1, 1]


def test_they_are_due_one_after_the_other(database: Any) -> None:
    ids = [park(database) for _ in range(40)]
    waiting().due_in(OUTAGE, "local", seconds=3600, within=100)
    times = sorted(job.not_before for job in map(read, ids) if job.not_before)
    assert len({*times}) > 30
    assert timedelta(seconds=20) < times[-1] - times[0] <= timedelta(seconds=100)


def test_those_that_wait_are_counted_up_to_a_number(database: Any) -> None:
    for _ in range(5):
        park(database, RATE_LIMIT)
    park(database, RATE_LIMIT, provider="openai")
    assert waiting().count(RATE_LIMIT, "local", most=100) == 5
    assert waiting().count(RATE_LIMIT, "local", most=3) == 3
    assert waiting().count(RATE_LIMIT, "openai", most=100) == 1


def test_an_index_finds_them_among_many(database: Any) -> None:
    database.jobs.insert_many(document(status) for _ in range(200) for status in ("queued", "completed"))
    park(database)
    plan = str(database.jobs.find(_parked(OUTAGE, "local")).explain()["queryPlanner"]["winningPlan"])
    assert "IXSCAN" in plan
    assert "'waiting_for.reason': ['[\"provider_outage\", \"provider_outage\"]']" in plan
