"""Workers go on by themselves after SQS or MongoDB were away, and nothing is lost, doubled or counted for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from devstack.ai_service import AiService
from devstack.forwarder import Forwarder
from jobs.document import Job
from jobs.life import Status
from jobs.store import store
from jobs.submit import Order, submit, submit_many
from queues.queue import dead_letters_of, queue_for
from tests.sqs import SqsProxy
from tests.tasks.conftest import StartWorker
from tests.tasks.test_worker import host_and_port
from tests.workers import Worker, finished, wait_for

WRITING = "/api/generation/topic"
LOAD = 20


def order(topic: str = "Bees") -> Order:
    return Order(kind="articles", payload={"mode": "topic", "topic": topic, "wordCount": 60}, user_id="ada")


def in_queues() -> int:
    """Messages of articles, dead letters too, visible or not."""
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    found = [queue.attributes() for queue in (queue_for("articles"), dead_letters_of("articles"))]
    return sum(int(attributes[name]) for attributes in found for name in names)


def told(job: Job) -> tuple[Status, int, int]:
    return job.status, job.attempts, job.crashes


@pytest.mark.long
@pytest.mark.parametrize(
    "break_it",
    [lambda sqs: sqs.refuse(), lambda sqs: sqs.hang(), lambda sqs: sqs.fail(500), lambda sqs: sqs.throttle()],
    ids=["refused", "time-outs", "5xx", "throttled"],
)
def test_with_sqs_away_running_jobs_complete_and_waiting_ones_start_when_it_is_back(
    break_it: Callable[[SqsProxy], None], start_worker: StartWorker, sqs_proxy: SqsProxy
) -> None:
    with AiService() as service:
        service.behave(wait_seconds=600)
        worker = start_worker("articles", AI_SERVICE_URL=service.address, LEASE_SECONDS="3")
        running = submit(order())
        wait_for(lambda: service.received(WRITING), "the service to be called", worker)
        break_it(sqs_proxy)
        wait_for(lambda: "can't receive; trying on" in worker.log, "the worker to notice", worker)
        wait_for(lambda: "could not be kept invisible; their jobs run on" in worker.log, "the heartbeat to notice", worker)
        waiting = submit(order("Wasps"))
        assert waiting.message_id is None
        service.behave()
        assert told(finished(running.id, worker)) == (Status.COMPLETED, 1, 0)  # SQS is still away
        sqs_proxy.well()
        assert told(finished(waiting.id, worker)) == (Status.COMPLETED, 1, 0)
        wait_for(lambda: in_queues() == 0, "the messages to go", worker)
        assert service.generations == 2
    assert worker.stop() == 0


@pytest.mark.long
def test_with_mongodb_away_for_longer_than_a_lease_every_job_completes_once_and_no_attempt_is_lost(
    start_worker: StartWorker, mongodb: str, database: Any
) -> None:
    with AiService() as service, Forwarder(*host_and_port(mongodb)) as way:
        service.behave(wait_seconds=600)
        service.make(streams=False)  # the articles come whole, so that all that is left is to store and record them
        variables = {"AI_SERVICE_URL": service.address, "LEASE_SECONDS": "3"}
        variables["MONGODB_URI"] = f"mongodb://{way.address}/?directConnection=true"
        workers = [start_worker("articles", **variables) for _ in range(2)]
        jobs = submit_many([order(f"Bees {n}") for n in range(LOAD)])
        wait_for(lambda: len(service.received(WRITING)) == LOAD, "the service to be called for all", workers[0])
        way.cut()
        wait_for(lambda: _leases_run_out(database) == LOAD, "the leases to run out", workers[0])
        service.behave()  # the articles come while nothing can be written
        wait_for(lambda: "MongoDB is away; waiting for it" in workers[0].log, "a job to wait for MongoDB", workers[0])
        assert _statuses(jobs) == {Status.PROCESSING}
        way.restore()
        ends = [told(finished(job.id, workers[0])) for job in jobs]
        assert ends == [(Status.COMPLETED, 1, 0)] * LOAD
        assert service.generations == LOAD
        assert database.generated_content.count_documents({}) == LOAD
        wait_for(lambda: in_queues() == 0, "the messages to go", workers[0])


def test_a_message_that_waits_for_mongodb_from_its_workers_start_on_is_kept_from_others(
    start_worker: StartWorker, mongodb: str, sqs_proxy: SqsProxy
) -> None:
    with Forwarder(*host_and_port(mongodb)) as way:
        way.cut()
        mongodb_uri = f"mongodb://{way.address}/?directConnection=true"
        worker = start_worker("articles", LEASE_SECONDS="3", MONGODB_URI=mongodb_uri)
        job = submit(order())
        wait_for(lambda: "MongoDB is away; waiting for it" in worker.log, "the message to wait", worker)
        before = sqs_proxy.counts["ChangeMessageVisibilityBatch"]
        wait_for(lambda: sqs_proxy.counts["ChangeMessageVisibilityBatch"] > before, "a beat", worker)
        way.restore()
        assert told(finished(job.id, worker)) == (Status.COMPLETED, 1, 0)


@pytest.mark.long
def test_jobs_come_and_go_while_mongodb_is_cut_off_again_and_again(
    start_worker: StartWorker, mongodb: str, database: Any
) -> None:
    with AiService() as service, Forwarder(*host_and_port(mongodb)) as way:
        service.behave(wait_seconds=0.5)
        variables = {"AI_SERVICE_URL": service.address, "LEASE_SECONDS": "3"}
        variables["MONGODB_URI"] = f"mongodb://{way.address}/?directConnection=true"
        worker = start_worker("articles", **variables)
        jobs = submit_many([order(f"Bees {n}") for n in range(LOAD)])
        for share in (0.1, 0.4, 0.7):
            _wait_until_completed(database, round(share * LOAD), worker)
            way.cut()
            _wait_for_another(worker, "leases could not be renewed; trying on")
            way.restore()
        ends = [told(finished(job.id, worker)) for job in jobs]
        assert ends == [(Status.COMPLETED, 1, 0)] * LOAD
        assert service.generations == LOAD
        wait_for(lambda: in_queues() == 0, "the messages to go", worker)


def _leases_run_out(database: Any) -> int:
    ran_out = {"status": "processing", "$expr": {"$lt": ["$lease.expires_at", "$$NOW"]}}
    found: int = database.jobs.count_documents(ran_out)
    return found


def _statuses(jobs: list[Job]) -> set[Status]:
    found = [store().get(job.id) for job in jobs]
    return {job.status for job in found if job}


def _wait_until_completed(database: Any, count: int, worker: Worker) -> None:
    wait_for(lambda: database.jobs.count_documents({"status": "completed"}) >= count, f"{count} jobs", worker)


def _wait_for_another(worker: Worker, line: str) -> None:
    before = worker.log.count(line)
    wait_for(lambda: worker.log.count(line) > before, line, worker)
