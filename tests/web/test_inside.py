"""`BROKER=none`: web processes run the jobs, and there is no SQS that could be asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from pymongo.database import Database

from devstack.ai_service import AiService
from devstack.server import Server, free_port
from jobs.document import Job
from jobs.failures import Selection
from jobs.here import line
from jobs.life import Status
from jobs.redrive import Deed, Round, redrive
from jobs.relay import Relay
from jobs.store import store
from jobs.submit import Order, submit
from queues.catalogue import KINDS, NORMAL
from queues.clients import NoQueues, sqs
from tests.workers import finished, wait_for

FLASK = [sys.executable, "-m", "flask", "--app", "web", "run"]
GUNICORN = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "web:create_app()"]
AWS = (
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
)

StartWeb = Callable[[list[str]], Server]


@pytest.fixture
def alone(database: Database[dict[str, Any]], environment: Callable[..., None]) -> Database[dict[str, Any]]:
    """The tests' database in an environment without SQS: no address, no region, no credentials."""
    environment(**dict.fromkeys(AWS), BROKER="none")
    return database


@pytest.fixture
def start_web(alone: Any, tmp_path: Path, environment: Callable[..., None]) -> Iterator[StartWeb]:
    """Starts a web process with this command. It answers when this returns, at `PORT`."""
    started: list[Server] = []

    def start(command: list[str]) -> Server:
        port = free_port()
        environment(PORT=str(port))
        if "flask" in command:
            command = [*command, "--port", str(port)]
        server = Server("web", command, tmp_path / f"web-{len(started)}.log")
        started.append(server)
        wait_for(lambda: not server.is_running or _answers(port), "the web process to answer")
        assert server.is_running, server.log.read_text()
        return server

    yield start
    for server in started:
        server.stop()


def found(job_id: str) -> Job:
    job = store().get(job_id)
    assert job is not None
    return job


def _answers(port: int) -> bool:
    try:
        return bool(requests.get(f"http://127.0.0.1:{port}/readyz", timeout=60).json().get("sqs") == "none")
    except requests.ConnectionError:
        return False


def test_a_process_runs_jobs_of_all_sorts_and_leaves_what_runs_to_the_next_start(
    alone: Database[dict[str, Any]], start_web: StartWeb, environment: Callable[..., None]
) -> None:
    with AiService() as service:
        environment(AI_SERVICE_URL=service.address)
        service.make(video_polls=1_000_000)
        web = start_web(FLASK)
        changes = [
            submit(Order(kind="resumes", payload={"action": action, "resumeId": "cv", "data": {}}, user_id="ada"))
            for action in ("CREATE", "UPDATE", "DELETE")
        ]
        for change in changes:
            assert finished(change.id).status is Status.COMPLETED
        began = [found(change.id).started_at or datetime.max.replace(tzinfo=UTC) for change in changes]
        assert began == sorted(began)

        service.behave(status=500, times=1)
        article = submit(Order(kind="articles", payload={"topic": "Bees", "wordCount": 50}, user_id="ada"))
        ended = finished(article.id)
        assert (ended.status, ended.attempts) == (Status.COMPLETED, 2)

        video = submit(Order(kind="videos", payload={"prompt": "Bees", "duration": 1, "size": "64x64"}, user_id="ada"))
        wait_for(lambda: found(video.id).checkpoint, "the video to be ordered")
        web.stop()
        assert web.process.returncode == 0, web.log.read_text()
        left = found(video.id)
        assert (left.status, left.attempts, left.lease) == (Status.QUEUED, 0, None)

        service.make(video_polls=1)
        start_web(GUNICORN)
        ended = finished(video.id)
        assert (ended.status, ended.attempts, ended.crashes) == (Status.COMPLETED, 1, 0)
        assert len(service.tasks) == 1, "the next start goes on with what was ordered"
    assert "BROKER=none: no SQS is used" in web.log.read_text()


def test_who_may_start_is_what_the_queue_would_give(alone: Any, environment: Callable[..., None]) -> None:
    changes = [
        submit(Order(kind="resumes", payload={"action": "CREATE", "resumeId": name, "data": {}}, user_id="bob"))
        for name in "ab"
    ]
    environment(USER_RUNNING_JOBS="1")
    first, second = (submit(Order(kind="articles", payload={"topic": "Bees"}, user_id="ada")) for _ in range(2))
    assert [job.id for job in line().first(KINDS, NORMAL, 10)] == [changes[0].id, first.id]
    depth = line().depths([KINDS["articles"]])["articles"].total
    assert (depth.visible, depth.delayed) == (1, 1)
    claimed = store().claim(first.id, kind="articles", token="t", worker="w", message_id=first.message_id)
    assert claimed
    assert store().retry_later(first.id, "t", seconds=60, code="internal", message="…")
    assert [job.id for job in line().first(["articles"], NORMAL, 10)] == []
    assert found(second.id).waiting_for == {"reason": "user_cap", "until": None}


def test_a_failed_job_stands_with_the_dead_letters_and_starts_over_from_there(alone: Any) -> None:
    job = submit(Order(kind="articles", payload={"topic": "Bees"}, user_id="ada"))
    store().claim(job.id, kind="articles", token="t", worker="w", message_id=job.message_id)
    store().fail(job.id, "t", code="provider_refused", message="no", retryable=False)
    assert Relay(KINDS).round().faults == {}
    outcome = Round(Selection(), redrive(), operator="ada").run()
    assert (outcome.count(Deed.START_OVER), outcome.missing) == ((1, 0), [])
    assert [each.id for each in line().first(KINDS, NORMAL, 10)] == [job.id]


def test_nobody_can_make_a_client_of_sqs(alone: Any) -> None:
    with pytest.raises(NoQueues, match="BROKER=none"):
        sqs()
