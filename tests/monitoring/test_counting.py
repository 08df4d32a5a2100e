"""What real workers count, each thing once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from devstack.ai_service import AiService
from jobs.counters import Counted, counted
from jobs.database import database as jobs_database
from jobs.submit import Order, submit
from tests.tasks.conftest import StartWorker
from tests.workers import finished, wait_for

WRITING = "/api/generation/topic"


@pytest.fixture
def service(environment: Callable[..., None]) -> Iterator[AiService]:
    with AiService() as generating:
        environment(AI_SERVICE_URL=generating.address)
        yield generating


@pytest.fixture
def since(database: Any, queues: Any) -> Callable[..., float]:
    """How often something was counted since the test began."""
    counted()  # what earlier tests left in this process is written
    jobs_database().collection("counters").delete_many({})

    def look(name: str, **labels: str) -> float:
        return sum(each.n for each in counted() if each.name == name and {*labels.items()} <= {*each.labels.items()})

    return look


def order() -> str:
    return submit(Order(kind="articles", payload={"mode": "topic", "topic": "Bees", "wordCount": 60}, user_id="ada")).id


def histogram(name: str) -> Counted:
    (found,) = (each for each in counted() if each.name == name)
    return found


def test_what_a_worker_did_is_counted_when_it_has_ended(
    since: Callable[..., float], service: AiService, start_worker: StartWorker
) -> None:
    service.behave(path=WRITING, status=500, times=1)
    jobs = [order() for _ in range(3)]
    worker = start_worker("articles")
    for job_id in jobs:
        finished(job_id, worker)
    service.behave(path=WRITING, status=400)
    finished(order(), worker)
    worker.stop()
    names = ("jobs_created", "jobs_started", "attempts", "jobs_completed", "jobs_failed", "generations", "leases_lost")
    assert [since(name, kind="articles") for name in names] == [4, 4, 5, 3, 1, 3, 0]
    messages = [since(f"messages_{what}", queue="articles", lane="normal") for what in ("sent", "received", "deleted")]
    assert messages == [4, 5, 4]  # the second attempt is a second receive
    outcomes = ("ok", "provider_unavailable", "provider_refused")
    assert [since("provider_requests", provider="service", outcome=outcome) for outcome in outcomes] == [3, 1, 1]
    assert since("provider_tokens", direction="output") > 0
    assert histogram("job_wait_seconds").n == 4
    run = histogram("job_run_seconds")
    assert (run.n, sum(run.within.values())) == (5, 5)


@pytest.mark.long
def test_a_killed_workers_job_is_a_crash_and_no_second_start(
    since: Callable[..., float], service: AiService, start_worker: StartWorker
) -> None:
    service.behave(wait_seconds=600)
    job_id = order()
    killed = start_worker("articles", LEASE_SECONDS="3")
    wait_for(lambda: service.received(WRITING), "the provider to be asked", killed)
    wait_for(lambda: since("job_wait_seconds"), "the counts of a start to be written, of which this is the last", killed)
    killed.stop(signal.SIGKILL)
    service.behave()
    other = start_worker("articles", LEASE_SECONDS="3")
    assert finished(job_id, other).crashes == 1
    other.stop()
    assert since("crashes", kind="articles") == 1
    assert since("jobs_started") == 1
    assert since("jobs_completed") == 1
    assert histogram("job_wait_seconds").n == 1


def test_an_attempt_that_finds_its_lease_gone_is_counted(
    since: Callable[..., float], service: AiService, database: Any, start_worker: StartWorker
) -> None:
    service.behave(wait_seconds=600)
    job_id = order()
    worker = start_worker("articles", LEASE_SECONDS="3")
    wait_for(lambda: service.received(WRITING), "the provider to be asked", worker)
    database.jobs.update_one({"_id": job_id}, {"$set": {"lease.token": "another's"}})
    wait_for(lambda: since("leases_lost", kind="articles"), "the loss to be counted", worker)
    service.behave()
