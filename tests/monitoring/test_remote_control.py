"""`celery inspect`, `control`, `status` and `events` answer for real workers, from other processes and with no flags."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from devstack.ai_service import AiService
from devstack.forwarder import Forwarder
from jobs.document import Job
from jobs.life import Status
from jobs.retry import retry
from jobs.store import store
from jobs.submit import Order, submit, submit_many
from tests.monitoring.watching import celery, celery_at_once, start_celery, wait_for_nodes
from tests.tasks.conftest import StartWorker
from tests.tasks.test_worker import host_and_port
from tests.workers import PATIENCE_SECONDS, Worker, finished, wait_for

WRITING = "/api/generation/topic"
MAKING_VIDEOS = "/api/videos"
CONTROL = ("control", "--timeout", "10")
"""These commands are not given again until somebody answers, so they wait for that longer than Celery's one second."""


def article(topic: str = "Bees") -> Order:
    return Order(kind="articles", payload={"mode": "topic", "topic": topic, "wordCount": 60}, user_id="ada")


def asked(*words: str) -> dict[str, Any]:
    """What the only worker answers to `celery inspect …`."""
    (answer,) = json.loads(celery("inspect", *words, "--json")).values()
    found: dict[str, Any] = answer
    return found


def running(job: Job, worker: Worker) -> None:
    def is_running() -> bool:
        found = store().get(job.id)
        return found is not None and found.status is Status.PROCESSING

    wait_for(is_running, "the job to run", worker)


@pytest.mark.long
def test_three_workers_on_one_host_are_three_nodes(queues: Any, database: Any, tmp_path: Path) -> None:
    with ExitStack() as started:
        workers = [Worker(tmp_path / f"{n}.log", "articles") for n in range(3)]
        for worker in workers:
            started.enter_context(worker)
        said = wait_for_nodes(3)
    assert len({line.split(":")[0] for line in said.splitlines() if line.startswith("->")}) == 3


def test_a_worker_answers_what_it_is_and_what_it_does(start_worker: StartWorker) -> None:
    with AiService() as service:
        service.behave(wait_seconds=600)
        worker = start_worker("articles", options=("-c", "2"), AI_SERVICE_URL=service.address)
        job = submit(article())
        wait_for(lambda: service.received(WRITING), "the service to be called", worker)
        commands = ("ping", "active", "reserved", "stats", "active_queues")
        said = celery_at_once(*(("inspect", command, "--json") for command in commands))
        answers = {command: next(iter(json.loads(told).values())) for command, told in zip(commands, said, strict=True)}
        service.behave()
    assert answers["ping"] == {"ok": "pong"}
    assert [request["id"] for request in answers["active"]] == [job.id]
    assert answers["active"][0]["name"] == "articles"
    assert answers["reserved"] == []
    assert answers["stats"]["pool"]["max-concurrency"] == 2
    assert answers["stats"]["pool"]["running"] == 1
    assert [queue["name"] for queue in answers["active_queues"]] == ["articles"]


@pytest.mark.long
def test_a_pool_grows_and_shrinks_and_as_many_jobs_run(start_worker: StartWorker) -> None:
    with AiService() as service:
        service.behave(wait_seconds=600)
        worker = start_worker("articles", options=("-c", "1"), AI_SERVICE_URL=service.address)
        jobs = submit_many([article(f"Bees {n}") for n in range(4)])
        celery(*CONTROL, "pool_grow", "2")
        wait_for(lambda: len(service.received(WRITING)) == 3, "three jobs to run at once", worker)
        assert asked("stats")["pool"]["running"] == 3
        celery(*CONTROL, "pool_shrink", "2")
        assert asked("stats")["pool"]["max-concurrency"] == 1
        service.behave()
        for job in jobs:
            assert finished(job.id, worker).status is Status.COMPLETED


@pytest.mark.long
def test_a_worker_takes_up_a_kind_and_leaves_one_when_it_is_told(start_worker: StartWorker, database: Any) -> None:
    worker = start_worker("articles")
    assert "no kind 'nonsense'" in celery(*CONTROL, "add_consumer", "nonsense")
    celery_at_once((*CONTROL, "add_consumer", "images"), (*CONTROL, "cancel_consumer", "articles"))
    wait_for(lambda: "Started consuming from images" in worker.log, "the worker to take images up", worker)
    wait_for(lambda: "Canceling queue articles" in worker.log, "the worker to leave articles", worker)
    left = submit(article())
    taken = submit(Order(kind="images", payload={"prompt": "a bee"}, user_id="ada"))
    assert finished(taken.id, worker).status is Status.COMPLETED
    assert [queue["name"] for queue in asked("active_queues")] == ["images"]
    wait_for(lambda: [each["kinds"] for each in database["relays"].find()] == [["images"]], "its rounds to follow", worker)
    waiting = store().get(left.id)
    assert waiting is not None
    assert waiting.status is Status.QUEUED
    celery(*CONTROL, "add_consumer", "articles")
    assert finished(left.id, worker).status is Status.COMPLETED


@pytest.mark.long
def test_a_worker_ends_in_order_when_it_is_told_to(start_worker: StartWorker) -> None:
    with AiService() as service:
        service.behave(wait_seconds=1)
        worker = start_worker("articles", AI_SERVICE_URL=service.address)
        job = submit(article())
        wait_for(lambda: service.received(WRITING), "the service to be called", worker)
        assert "the worker ends" in celery(*CONTROL, "shutdown")
        assert worker.process.wait(PATIENCE_SECONDS) == 0
    assert finished(job.id, worker).status is Status.COMPLETED
    assert "worker left" in worker.log


def test_revoking_cancels_the_job_and_at_the_provider_what_it_makes_and_a_retry_runs_on_the_same_worker(
    start_worker: StartWorker,
) -> None:
    with AiService() as service:
        service.make(video_polls=10_000)
        worker = start_worker("videos", AI_SERVICE_URL=service.address, LEASE_SECONDS="3")
        job = submit(Order(kind="videos", payload={"prompt": "a bee", "duration": 5}, user_id="ada"))
        wait_for(lambda: service.tasks, "the video to be made", worker)
        assert "told to stop" in celery("control", "revoke", job.id)
        assert finished(job.id, worker).status is Status.CANCELLED
        wait_for(lambda: [task.error for task in service.tasks.values()] == ["cancelled"], "the video's cancel", worker)
        assert asked("revoked") == []
        service.make(video_polls=1)
        assert retry(job.id) is not None
        assert finished(job.id, worker).status is Status.COMPLETED


@pytest.mark.long
def test_revoking_needs_no_worker_and_names_what_it_did(queues: Any, database: Any) -> None:
    job = submit(article())
    assert f"{job.id}: cancelled" in celery("control", "revoke", job.id)
    cancelled = store().get(job.id)
    assert cancelled is not None
    assert cancelled.status is Status.CANCELLED
    again, unknown = celery_at_once(("control", "revoke", job.id), ("control", "revoke", "nobody"))
    assert "over already" in again
    assert "there is no such job" in unknown


@pytest.mark.long
def test_events_tell_a_jobs_way(start_worker: StartWorker, tmp_path: Path) -> None:
    watcher = start_celery("events", "--dump")
    assert watcher.stdout is not None
    try:
        assert "starting capture" in watcher.stdout.readline()
        worker = start_worker("articles")
        told = watcher.stdout.readline()  # whoever watches is heard of by workers that were there before
        while "heartbeat" not in told and "started:" not in told:
            told = watcher.stdout.readline()
        job = submit(article())
        assert finished(job.id, worker).status is Status.COMPLETED
        lines = []
        while "task succeeded" not in told:
            lines += [told] if "task" in (told := watcher.stdout.readline()) else []
    finally:
        watcher.kill()
        watcher.communicate()
    assert [line.partition("]")[2].split(":")[0].strip() for line in lines] == [
        "task received",
        "task started",
        "task succeeded",
    ]
    assert all(job.id in line for line in lines)


@pytest.mark.long
@pytest.mark.parametrize("away", [Forwarder.cut, Forwarder.hold])
def test_with_the_monitors_store_away_jobs_go_on_and_monitoring_comes_back(
    away: Callable[[Forwarder], None], start_worker: StartWorker, mongodb: str, database: Any
) -> None:
    with Forwarder(*host_and_port(mongodb)) as between:
        address = f"mongodb://{between.address}/{database.name}?directConnection=true"
        worker = start_worker("articles", MONITOR_URL=address)
        assert wait_for_nodes(1)
        away(between)
        jobs = submit_many([article(f"Bees {n}") for n in range(20)])
        for job in jobs:
            assert finished(job.id, worker).status is Status.COMPLETED
        wait_for(lambda: "events can't be sent; trying on" in worker.log, "the sender to notice", worker)
        wait_for(lambda: "the monitor's store does not answer; trying on" in worker.log, "the listener to notice", worker)
        assert worker.process.poll() is None
        between.restore()
        wait_for(lambda: "events are sent again" in worker.log, "the events to come back", worker)
        wait_for(lambda: "the monitor's store answers again" in worker.log, "the remote control to come back", worker)
        assert wait_for_nodes(1)


@pytest.mark.long
def test_a_worker_starts_with_the_monitors_store_away(start_worker: StartWorker, mongodb: str, database: Any) -> None:
    with Forwarder(*host_and_port(mongodb)) as between:
        between.cut()
        worker = start_worker("articles", MONITOR_URL=f"mongodb://{between.address}/{database.name}?directConnection=true")
        wait_for(lambda: "remote commands can't be heard; trying on" in worker.log, "the worker to notice", worker)
        assert finished(submit(article()).id, worker).status is Status.COMPLETED
        between.restore()
        wait_for(lambda: "remote commands are heard again" in worker.log, "the remote control to come back", worker)
        assert wait_for_nodes(1)


def test_with_the_monitors_store_away_a_command_says_so_in_a_line(queues: Any, environment: Any) -> None:
    environment(MONITOR_URL="mongodb://127.0.0.1:9/pressroom")
    asking = start_celery("inspect", "ping")
    output, errors = asking.communicate(timeout=PATIENCE_SECONDS)
    assert asking.returncode not in (0, None)
    assert "Could not connect" in output + errors
    assert "Traceback" not in output + errors


@pytest.mark.parametrize("url", ["nonsense", "127.0.0.1:27017"])
def test_an_address_of_the_monitor_that_is_none_stops_a_worker_at_its_start(url: str, environment: Any) -> None:
    environment(MONITOR_URL=url)
    refused = start_celery("worker", "-Q", "articles")
    _, errors = refused.communicate(timeout=PATIENCE_SECONDS)
    assert refused.returncode != 0
    assert "MONITOR_URL" in errors
    assert "Traceback" not in errors
