"""Jobs and the AI service's own troubles, with real workers: an outage counts no attempt, and the rate holds for all."""

from __future__ import annotations

import pytest

from devstack.ai_service import AiService
from devstack.forwarder import Forwarder
from jobs.life import Status
from jobs.outages import outages
from jobs.store import store
from jobs.submit import Order, submit_many
from jobs.waiting import OUTAGE, RATE_LIMIT
from tests.tasks.conftest import StartWorker
from tests.workers import finished, wait_for

WRITING = "/api/generation"


def orders(count: int) -> list[Order]:
    payload = {"mode": "topic", "topic": "Bees", "wordCount": 60}
    return [Order(kind="articles", payload=payload, user_id="ada") for _ in range(count)]


def waits_for(job_id: str) -> str | None:
    job = store().get(job_id)
    return job.waiting_for["reason"] if job and job.waiting_for else None


@pytest.mark.long
def test_jobs_outlive_an_outage_of_the_service_without_an_attempt_and_go_on_when_it_is_back(start_worker: StartWorker) -> None:
    with AiService() as service, Forwarder("127.0.0.1", service.port) as way:
        way.cut()
        variables = {"AI_PROVIDER": "service", "AI_SERVICE_URL": f"http://{way.address}", "LEASE_SECONDS": "3"}
        worker = start_worker("articles", **variables)
        jobs = submit_many(orders(6))
        wait_for(lambda: any(waits_for(job.id) == OUTAGE for job in jobs), "a job to be parked", worker)
        wait_for(lambda: worker.log.count("provider is still down") >= 3, "some probes to fail", worker)
        found = [store().get(each.id) for each in jobs]  # each looked at once: its time may come between two looks
        assert {job.attempts for job in found if job and job.waiting_for} <= {0}
        way.restore()
        for job in jobs:
            done = finished(job.id, worker)
            assert (done.status, done.attempts, done.crashes) == (Status.COMPLETED, 1, 0)
        assert service.generations == len(jobs)
        assert "provider answers again" in worker.log
    wait_for(lambda: not outages().known(), "the outage to end", worker)


def test_two_workers_together_keep_to_the_rate(start_worker: StartWorker) -> None:
    with AiService() as service:
        variables = {
            "AI_PROVIDER": "service",
            "AI_SERVICE_URL": service.address,
            "LEASE_SECONDS": "3",
            "AI_RATE_LIMIT": "5/hour",
        }
        workers = [start_worker("articles", **variables) for _ in range(2)]
        jobs = submit_many(orders(12))
        wait_for(
            lambda: sum(waits_for(job.id) == RATE_LIMIT for job in jobs) == 7 and service.generations == 5,
            "five to be written and the others to be parked",
            workers[0],
        )
        for job in jobs:
            found = store().get(job.id)
            assert found is not None
            assert found.attempts == (0 if waits_for(job.id) else 1)
        assert len(service.received(WRITING)) == 5
