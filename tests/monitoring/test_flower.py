"""Flower on a pure SQS fleet: as it stands, and after it was deaf for a while."""

from __future__ import annotations

import signal
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import requests

from devstack.ai_service import AiService
from jobs.life import Status
from jobs.store import store
from jobs.submit import Order, submit
from monitoring.events import Dispatcher
from tasks import app
from tests.monitoring.watching import Flower, start_celery, wait_for_nodes
from tests.tasks.conftest import StartWorker
from tests.workers import PATIENCE_SECONDS, finished, wait_for

EVENTS = 10_000
PAYLOAD = {"mode": "topic", "topic": "Bees", "wordCount": 60}
ORDER = Order(kind="articles", payload=PAYLOAD, user_id="ada")


@pytest.mark.long
def test_after_ten_thousand_events_in_its_sleep_flower_sees_new_tasks_and_workers_answer(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    with Flower(tmp_path / "flower.log") as flower:
        worker = start_worker("articles")
        first = submit(ORDER)
        wait_for(lambda: flower.state_of(first.id) == "SUCCESS", "Flower to see the first job", worker)
        flower.process.send_signal(signal.SIGSTOP)
        try:
            with app.events.default_dispatcher(hostname="busy@elsewhere") as dispatcher:
                assert isinstance(dispatcher, Dispatcher)
                for n in range(EVENTS):
                    dispatcher.send("task-received", uuid=f"{n}", name="articles", args="()", kwargs="{}", retries=0)
                    if n % 1_000 == 0:
                        assert dispatcher.outbox.flush(PATIENCE_SECONDS)
                assert dispatcher.outbox.flush(PATIENCE_SECONDS)
            assert wait_for_nodes(1)
        finally:
            flower.process.send_signal(signal.SIGCONT)
        second = submit(ORDER)
        wait_for(lambda: flower.state_of(second.id) == "SUCCESS", "Flower to see the new job", worker)
        assert wait_for_nodes(1)


def test_flower_orders_and_revokes_jobs(start_worker: StartWorker, tmp_path: Path) -> None:
    with AiService() as service, Flower(tmp_path / "flower.log") as flower:
        service.behave(wait_seconds=600)
        worker = start_worker("articles", AI_SERVICE_URL=service.address, LEASE_SECONDS="3")
        job_id = flower.post("/api/task/send-task/articles", {"args": [PAYLOAD]})["task-id"]
        wait_for(lambda: flower.state_of(job_id) == "STARTED", "Flower to see it run", worker)
        flower.post(f"/api/task/revoke/{job_id}")
        assert finished(job_id, worker).status is Status.CANCELLED
        wait_for(lambda: flower.state_of(job_id) == "REVOKED", "Flower to see it cancelled", worker)


@pytest.mark.long
def test_flower_shows_that_a_job_waits_for_its_next_attempt(start_worker: StartWorker, tmp_path: Path) -> None:
    with AiService() as service, Flower(tmp_path / "flower.log") as flower:
        service.behave(status=503, retry_after="600")
        worker = start_worker("articles", AI_SERVICE_URL=service.address)
        job = submit(ORDER)
        wait_for(lambda: flower.state_of(job.id) == "RETRY", "Flower to see that it waits", worker)
        waiting = store().get(job.id)
        assert waiting is not None
        assert not waiting.status.is_final


@pytest.mark.parametrize(("auth", "own_page"), [("off", 404), ("keys", 401)])  # 404: it looked, and knows no such worker
def test_without_authentication_only_its_own_pages_on_this_machine_may_act_and_only_where_nobody_signs_in(
    auth: str, own_page: int, tmp_path: Path, database: Any, environment: Any
) -> None:
    environment(AUTH=auth)
    with Flower(tmp_path / "flower.log", opened=False) as flower:

        def shut_down(**headers: str) -> int:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            return requests.post(
                f"{flower.address}/api/worker/shutdown/nobody", headers=sent, timeout=PATIENCE_SECONDS
            ).status_code

        assert shut_down(Sec_Fetch_Site="same-origin") == own_page
        assert shut_down() == 401
        assert shut_down(Sec_Fetch_Site="cross-site") == 401
        assert shut_down(Sec_Fetch_Site="same-origin", Host="made-to-lead-here.example") == 401


@pytest.mark.parametrize("options", [("--address=0.0.0.0",), ("--address=::",), ("--address=",)])
def test_flower_is_not_exposed_without_authentication(options: tuple[str, ...], mongodb: Any) -> None:
    refused = start_celery("flower", "--port=0", *options)
    _, errors = refused.communicate(timeout=PATIENCE_SECONDS)
    assert refused.returncode == 1
    assert "--basic_auth=name:password" in errors
    assert "Traceback" not in errors


def test_exposed_flower_asks_who_it_is(tmp_path: Path, database: Any) -> None:
    flower = Flower(tmp_path / "flower.log", "--address=0.0.0.0", "--basic_auth=ada:secret")

    def status() -> int | None:
        try:
            flower.get("/api/tasks")
        except urllib.error.HTTPError as error:
            return error.code
        return None

    try:
        assert wait_for(status, "Flower to answer") == 401
    finally:
        flower.process.terminate()
        flower.process.wait(PATIENCE_SECONDS)
