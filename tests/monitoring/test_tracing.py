"""One trace from the request to the result, across real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from devstack.ai_service import AiService
from devstack.server import Server, free_port
from jobs.effects import perform_pending_of, submission
from jobs.store import store
from jobs.submit import Order, submit
from jobs.tracing import current, readable, span
from settings import CHECKOUT
from tests.collector import Collector, Span
from tests.tasks.conftest import StartWorker
from tests.web.test_process import gunicorn
from tests.web.test_process import wait_for as wait_for_server
from tests.workers import PATIENCE_SECONDS, finished, wait_for

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
REQUEST = f"00-{TRACE}-00f067aa0ba902b7-01"
WRITING = "/api/generation/topic"


@pytest.fixture
def collector(environment: Callable[..., None]) -> Iterator[Collector]:
    """A collector that the processes started by the test send to."""
    with Collector() as listening:
        environment(OTEL_EXPORTER_OTLP_ENDPOINT=listening.address, OTEL_BSP_SCHEDULE_DELAY="100")
        yield listening


@pytest.fixture
def service(environment: Callable[..., None]) -> Iterator[AiService]:
    with AiService() as generating:
        environment(AI_SERVICE_URL=generating.address)
        yield generating


@pytest.fixture
def start_web(database: Any, queues: Any, tmp_path: Path, environment: Callable[..., None]) -> Iterator[Callable[[], str]]:
    """Call it to start a web process: its address."""
    started: list[Server] = []

    def start() -> str:
        port = free_port()
        environment(PORT=str(port))
        started.append(Server("web", gunicorn(), tmp_path / "web.log"))
        wait_for_server(f"http://127.0.0.1:{port}", started[0])
        return f"http://127.0.0.1:{port}"

    yield start
    for server in started:
        server.stop()


def order(address: str, traceparent: str | None, **payload: Any) -> str:
    answer = requests.post(
        f"{address}/api/jobs",
        json={"type": "articles", "payload": {"topic": "Bees", "wordCount": 60, **payload}},
        headers={"traceparent": traceparent} if traceparent else {},
        timeout=PATIENCE_SECONDS,
    )
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["jobId"]
    return job_id


def the(collector: Collector, name: str) -> Span:
    """The one span of this name, once it has come."""
    found = wait_for(lambda: collector.named(name), f"the span {name!r}")
    assert len(found) == 1
    return found[0]


def test_request_submission_attempt_and_provider_call_are_one_trace(
    collector: Collector, service: AiService, start_web: Callable[[], str], start_worker: StartWorker
) -> None:
    job_id = order(start_web(), REQUEST, includeImages=True)
    worker = start_worker("articles", "images")
    related = finished(job_id, worker).related_jobs
    finished(related[0], worker)
    names = ["POST /api/jobs", "submit articles", "attempt articles", "service articles"]
    asked, submitted, attempt, call = (the(collector, name) for name in names)
    assert [each.parent_id for each in (asked, submitted, attempt, call)] == [
        "00f067aa0ba902b7",
        asked.span_id,
        submitted.span_id,
        attempt.span_id,
    ]
    assert (asked.service, attempt.service) == ("pressroom-web", "pressroom-worker")
    assert {each.attributes["pressroom.job_id"] for each in (submitted, attempt, call)} == {job_id}
    assert attempt.attributes["pressroom.attempt"] == 1
    assert call.of(str(service.received(WRITING)[0].header("traceparent")))
    the(collector, "attempt images")  # what followed from it belongs to it too
    assert {each.trace_id for each in collector.spans} == {TRACE}


def test_a_failed_attempt_is_an_error_and_the_next_one_is_of_the_same_trace(
    collector: Collector, service: AiService, start_web: Callable[[], str], start_worker: StartWorker
) -> None:
    service.behave(path=WRITING, status=500, times=1)
    job_id = order(start_web(), None)
    finished(job_id, start_worker("articles"))
    wait_for(lambda: len(collector.named("attempt articles")) == 2, "two attempts")
    attempts = collector.named("attempt articles")
    assert [each.failed for each in attempts] == [True, False]
    assert {each.trace_id for each in attempts} == {the(collector, "POST /api/jobs").trace_id}


def test_an_attempt_in_a_child_process_belongs_to_the_trace(
    collector: Collector, service: AiService, database: Any, queues: Any, start_worker: StartWorker
) -> None:
    with span("here", "producer", REQUEST):
        job = submit(Order(kind="articles", payload={"mode": "topic", "topic": "Bees", "wordCount": 60}, user_id="ada"))
    database.jobs.update_one({"_id": job.id}, {"$set": {"crashes": 1}})
    finished(job.id, start_worker("articles"))
    attempt, inside, call = (the(collector, name) for name in ("attempt articles", "in a child", "service articles"))
    assert (inside.parent_id, call.parent_id) == (attempt.span_id, inside.span_id)
    assert call.trace_id == TRACE


def test_without_tracing_the_context_goes_from_the_request_to_the_provider_as_it_came(
    service: AiService, start_web: Callable[[], str], start_worker: StartWorker
) -> None:
    address = start_web()
    traced, untraced = order(address, REQUEST), order(address, None)
    worker = start_worker("articles")
    jobs = [finished(job_id, worker) for job_id in (traced, untraced)]
    assert [job.traceparent for job in jobs] == [REQUEST, None]
    sent = {request.header("idempotency-key"): request.header("traceparent") for request in service.received(WRITING)}
    assert sent == {traced: REQUEST, untraced: None}


def test_without_the_extra_everything_works_and_the_log_says_what_to_install(environment: Callable[..., None]) -> None:
    environment(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    program = "import sys; sys.modules['opentelemetry'] = None; from web import create_app; create_app(); print('well')"
    told = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert "well" in told.stdout
    assert "pip install '.[otel]'" in told.stdout + told.stderr


def test_unless_it_is_asked_for_nothing_of_opentelemetry_is_loaded() -> None:
    program = "import sys; from web import create_app; create_app(); print('opentelemetry.sdk' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("sent", "is_one"),
    [
        (REQUEST, True),
        (f"01-{TRACE}-00f067aa0ba902b7-00", True),
        (f"{REQUEST}-more", False),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (REQUEST.upper(), False),
        (REQUEST + "\r\nX: y", False),
        ("", False),
        (None, False),
    ],
)
def test_only_a_trace_context_is_handed_on(sent: str | None, is_one: bool) -> None:
    assert readable(sent) == (sent if is_one else None)


def test_what_is_handed_on_ends_with_its_block() -> None:
    with span("outer", "server", REQUEST):
        assert current() == REQUEST
        with span("inner", "client"):
            assert current() == REQUEST
    assert current() is None


def test_what_the_relay_submits_for_a_job_belongs_to_its_trace(database: Any, queues: Any) -> None:
    first = submit(Order(kind="articles", payload={"mode": "topic", "topic": "Bees"}, user_id="ada", traceparent=REQUEST))
    follow_up = submission(first, "images", {"prompt": "Bees"})
    database.jobs.update_one({"_id": first.id}, {"$set": {"effects": [follow_up]}})
    perform_pending_of(first.id)
    followed = store().get(follow_up["job_id"])
    assert followed is not None
    assert followed.traceparent == REQUEST


def test_a_job_of_an_older_release_belongs_to_no_trace(database: Any, queues: Any) -> None:
    job = submit(Order(kind="articles", payload={"mode": "topic", "topic": "Bees"}, user_id="ada"))
    database.jobs.update_one({"_id": job.id}, {"$unset": {"traceparent": ""}})
    found = store().get(job.id)
    assert found is not None
    assert found.traceparent is None
