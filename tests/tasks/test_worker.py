"""The worker's command line, start and end."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from devstack.ai_service import AiService
from devstack.forwarder import Forwarder
from jobs.life import Status
from jobs.store import store
from jobs.submit import Order, submit
from queues.catalogue import KINDS
from queues.queue import Outgoing, dead_letters_of, queue_for
from queues.receiver import VISIBILITY_BEYOND_LEASE_SECONDS
from queues.wire import JobMessage
from settings import CHECKOUT
from tests.tasks.conftest import StartWorker
from tests.workers import PATIENCE_SECONDS, finished, finished_or_none, wait_for

ORDER = Order(kind="articles", payload={"mode": "topic", "topic": "Bees", "wordCount": 60}, user_id="ada")


def celery(*words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("celery")), "-A", "tasks", *words]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


@pytest.mark.parametrize(
    ("variables", "words", "says"),
    [
        ({"AI_PROVIDER": "oracle"}, ["-Q", "articles"], "AI_PROVIDER='oracle' can't be used"),
        ({"AI_PROVIDER": "service"}, ["-Q", "articles"], "AI_PROVIDER=service needs AI_SERVICE_URL"),
        ({"LEASE_SECONDS": "0"}, ["-Q", "articles"], "LEASE_SECONDS='0' can't be used"),
        ({"AWS_ENDPOINT_URL": "nowhere"}, ["-Q", "articles"], "Correct AWS_ENDPOINT_URL"),
        ({"AWS_REGION": None, "AWS_DEFAULT_REGION": None}, ["-Q", "articles"], "Set AWS_REGION"),
        ({}, ["-Q", "poems"], f"no kind 'poems'; there are {', '.join(KINDS)}"),
        ({}, ["-Q", "articles", "-P", "solo"], "Leave out -P"),
    ],
)
def test_a_worker_that_cannot_work_says_why_in_words(
    variables: dict[str, str | None], words: list[str], says: str, environment: Any
) -> None:
    environment(**variables)
    ended = celery("worker", *words)
    assert ended.returncode != 0
    assert says in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr + ended.stdout


def test_a_worker_takes_its_slots_from_the_catalogue_and_a_name_of_its_own(start_worker: StartWorker) -> None:
    worker = start_worker("images")
    assert ".> concurrency: 16" in worker.log
    assert " images-" in worker.log.split(" ready.")[0]


def test_a_worker_can_be_given_its_name_and_its_slots(start_worker: StartWorker) -> None:
    worker = start_worker("images", options=("-n", "paint@here", "-c", "3"))
    assert ".> concurrency: 3" in worker.log
    assert "paint@here ready." in worker.log


def test_one_worker_serves_several_queues(start_worker: StartWorker) -> None:
    worker = start_worker("articles", "images")
    image = Order(kind="images", payload={"prompt": "p", "size": "64x64"}, user_id="ada")
    assert {finished(submit(order).id, worker).status for order in (ORDER, image)} == {Status.COMPLETED}


def test_a_worker_without_work_ends_at_once_when_told(start_worker: StartWorker) -> None:
    assert start_worker("articles").stop() == 0


def test_a_worker_told_to_stop_finishes_what_it_has_begun(start_worker: StartWorker) -> None:
    with AiService() as service:
        service.behave(wait_seconds=1.5)
        worker = start_worker("articles", AI_SERVICE_URL=service.address)
        job = submit(ORDER)
        wait_for(lambda: service.received("/api/generation/topic"), "the service to be called", worker)
        assert worker.stop(signal.SIGTERM) == 0
    assert finished(job.id).status is Status.COMPLETED


@pytest.mark.long
def test_a_cold_shutdown_waits_for_nothing_and_another_worker_goes_on(start_worker: StartWorker) -> None:
    with AiService() as service:
        service.behave(wait_seconds=60)
        worker = start_worker("articles", AI_SERVICE_URL=service.address, LEASE_SECONDS="3")
        job = submit(ORDER)
        wait_for(lambda: service.received("/api/generation/topic"), "the service to be called", worker)
        worker.stop(signal.SIGQUIT)
        assert "Traceback" not in worker.log
        service.behave()
        start_worker("articles", AI_SERVICE_URL=service.address, LEASE_SECONDS="3")
        assert finished(job.id).status is Status.COMPLETED


def test_a_message_nobody_can_read_goes_to_the_dead_letters_with_the_reason(start_worker: StartWorker) -> None:
    worker = start_worker("articles")
    queue_for("articles").send(Outgoing('{"jobId": 7}'))
    queue_for("articles").send(Outgoing('{"jobId": "gone", "userId": "ada", "type": "articles"}'))
    job = finished(submit(ORDER).id, worker)
    assert job.status is Status.COMPLETED
    reasons: set[str] = set()

    def both_came() -> bool:
        found = dead_letters_of("articles").receive(10, visibility_seconds=60, wait_seconds=0)
        reasons.update(message.attributes["Reason"] for message in found)
        return len(reasons) == 2

    wait_for(both_came, "the dead letters", worker)
    assert reasons == {"field jobId is missing or not a text", "no job has this id"}


def test_a_killed_workers_job_starts_again_and_is_done_once(start_worker: StartWorker, database: Any) -> None:
    with AiService() as service:
        service.behave(wait_seconds=60)
        worker = start_worker("articles", AI_SERVICE_URL=service.address, LEASE_SECONDS="3")
        job = submit(ORDER)
        wait_for(lambda: service.received("/api/generation/topic"), "the service to be called", worker)
        worker.stop(signal.SIGKILL)
        service.behave(wait_seconds=0)
        start_worker("articles", AI_SERVICE_URL=service.address, LEASE_SECONDS="3")
        done = finished(job.id)
    assert (done.status, done.attempts, done.crashes) == (Status.COMPLETED, 1, 1)
    assert database.generated_content.count_documents({}) == 1


def test_a_job_longer_than_its_lease_and_its_messages_visibility_runs_once(start_worker: StartWorker, database: Any) -> None:
    lease_seconds = 3  # a busy machine may hold the heartbeat up for a second or two
    visible_again_seconds = lease_seconds + VISIBILITY_BEYOND_LEASE_SECONDS
    with AiService() as service:
        service.behave(wait_seconds=visible_again_seconds * 1.7)
        for _ in range(2):  # a second worker that would take the job over
            worker = start_worker("articles", AI_SERVICE_URL=service.address, LEASE_SECONDS=str(lease_seconds))
        job = finished(submit(ORDER).id, worker)
        stored = database.jobs.find_one({"_id": job.id})
    assert (job.status, job.attempts, job.crashes) == (Status.COMPLETED, 1, 0)
    assert len(service.received("/api/generation/topic")) == 1
    assert [entry["verb"] for entry in stored["history"]] == ["submit", "claim", "complete"]


def test_a_cancelled_job_stops_its_handler(start_worker: StartWorker) -> None:
    with AiService() as service:
        service.make(video_polls=10_000)
        worker = start_worker("videos", AI_SERVICE_URL=service.address, LEASE_SECONDS="3")
        job = submit(Order(kind="videos", payload={"prompt": "p"}, user_id="ada"))
        wait_for(lambda: service.tasks, "the service's task", worker)
        store().request_cancel(job.id, "ada")
        assert finished(job.id, worker).status is Status.CANCELLED
        wait_for(lambda: {task.error for task in service.tasks.values()} == {"cancelled"}, "the task's cancel", worker)


@pytest.mark.long
def test_a_worker_outlives_sqs_and_takes_jobs_once_it_is_back(start_worker: StartWorker, sqs: str) -> None:
    with Forwarder(*host_and_port(sqs)) as way:
        worker = start_worker("articles", AWS_ENDPOINT_URL=f"http://{way.address}")
        assert finished(submit(ORDER).id, worker).status is Status.COMPLETED
        way.cut()
        wait_for(lambda: "can't receive; trying on" in worker.log, "the worker to notice", worker)
        job = submit(ORDER)  # not through the forwarder: only the worker has lost SQS
        way.restore()
        assert finished(job.id, worker).status is Status.COMPLETED
        assert "the queue answers again" in worker.log


@pytest.mark.long
def test_a_job_whose_end_could_not_be_recorded_waits_for_mongodb_and_is_not_done_again(
    start_worker: StartWorker, mongodb: str, database: Any
) -> None:
    with AiService() as service, Forwarder(*host_and_port(mongodb)) as way:
        service.behave(wait_seconds=2)
        mongodb_uri = f"mongodb://{way.address}/?directConnection=true"
        worker = start_worker("articles", AI_SERVICE_URL=service.address, LEASE_SECONDS="3", MONGODB_URI=mongodb_uri)
        job = submit(ORDER)
        wait_for(lambda: service.received("/api/generation/topic"), "the service to be called", worker)
        way.cut()
        wait_for(lambda: "MongoDB is away; waiting for it" in worker.log, "the worker to notice", worker)
        assert finished_or_none(job.id) is None
        way.restore()
        done = finished(job.id, worker)
    assert (done.status, done.attempts, done.crashes) == (Status.COMPLETED, 1, 0)
    assert len(service.received("/api/generation/topic")) == 1
    assert database.generated_content.count_documents({}) == 1


def test_a_message_of_another_kind_than_its_job_does_not_run_it(start_worker: StartWorker) -> None:
    worker = start_worker("images")
    job = submit(ORDER)
    queue_for("images").send(Outgoing(JobMessage(job.id, "ada", "images").body()))
    wait_for(lambda: "field type is 'images', but the job's is 'articles'" in worker.log, "the message to be refused", worker)
    untouched = store().get(job.id)
    assert untouched is not None
    assert (untouched.status, untouched.attempts) == (Status.QUEUED, 0)


def host_and_port(address: str) -> tuple[str, int]:
    """Of an endpoint's or a database's address."""
    parts = urlsplit(address)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port
