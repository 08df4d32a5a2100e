"""A worker that does not receive any more ends, to be started anew; one that has a reason not to receive does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from jobs.pauses import pauses
from jobs.submit import Order, submit
from jobs.workers import WorkerDocument, workers
from settings import CHECKOUT
from tasks.liveness import BEYOND_GRACE_SECONDS, STUCK, silent_seconds_most
from tests.conftest import NOWHERE
from tests.tasks.conftest import StartWorker
from tests.workers import PATIENCE_SECONDS, Worker, finished, wait_for

QUICK = {"LEASE_SECONDS": "3", "SQS_WAIT_TIME_SECONDS": "1", "SHUTDOWN_GRACE_SECONDS": "1"}
FAULTY = "devstack.faulty"
ARTICLE = Order(kind="articles", payload={"mode": "topic", "topic": "Bees", "wordCount": 60}, user_id="ada")


@pytest.fixture(autouse=True)
def quick(environment: Any) -> None:
    environment(**QUICK)


def document(worker: Worker) -> WorkerDocument | None:
    return next((each for each in workers() if each.pid == worker.process.pid), None)


def ended(worker: Worker) -> int:
    status: list[int] = wait_for(lambda: [] if (code := worker.process.poll()) is None else [code], "the worker to end", worker)
    return status[0]


def complaints(worker: Worker) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in worker.log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"].startswith("the worker does not receive any more")]


def test_a_worker_whose_receive_loop_hangs_ends_itself(start_worker: StartWorker) -> None:
    # so much grace, that it has the time to end in order
    worker = start_worker("articles", app=FAULTY, PRESSROOM_FAULTS="hang:polling:3", SHUTDOWN_GRACE_SECONDS="60")
    assert ended(worker) == STUCK
    (complaint,) = complaints(worker)
    assert complaint["queues"] == ["articles"]
    assert complaint["silent_seconds"] >= silent_seconds_most()
    assert "Traceback" not in worker.log
    assert workers() == []


@pytest.mark.long
def test_a_worker_whose_receiver_died_ends_itself(start_worker: StartWorker) -> None:
    worker = start_worker("articles", "images", app=FAULTY, PRESSROOM_FAULTS="raise:polling:5")
    assert ended(worker) == STUCK
    (complaint,) = complaints(worker)
    assert len(complaint["queues"]) == 1


@pytest.mark.long
def test_jobs_of_a_worker_that_ends_itself_go_to_another(start_worker: StartWorker) -> None:
    stuck = start_worker("articles", app=FAULTY, PRESSROOM_FAULTS="hang:calling,raise:polling:3")
    job = submit(ARTICLE)
    assert ended(stuck) == STUCK
    start_worker("articles")
    assert finished(job.id).status == "completed"


@pytest.mark.long
def test_a_worker_that_has_a_reason_not_to_receive_goes_on(start_worker: StartWorker) -> None:
    nowhere = f"http://{NOWHERE}"
    pauses().pause("images", reason="a test", by="ada")
    paused = start_worker("images")
    away = start_worker("videos", AWS_ENDPOINT_URL=nowhere, AWS_ENDPOINT_URL_SQS=nowhere)
    full = start_worker("articles", app=FAULTY, options=("-c", "1"), PRESSROOM_FAULTS="hang:calling")
    submit(ARTICLE)
    enough = timedelta(seconds=silent_seconds_most() * 1.5)

    def went_without(what: str, worker: Worker) -> bool:
        said = document(worker)
        return said is not None and said.seen_at - getattr(said, what)[said.kinds[0]] > enough

    wait_for(lambda: went_without("last_attempt", full), "the full worker to be silent for long", full)
    wait_for(lambda: went_without("last_attempt", paused), "the paused worker to be silent for long", paused)
    wait_for(lambda: went_without("last_receive", away), "the worker without SQS to fail for long", away)
    assert [worker.process.poll() for worker in (paused, away, full)] == [None] * 3
    said = document(full)
    assert said is not None
    assert (said.running, said.slots, said.kinds) == (1, 1, ["articles"])
    said = document(away)
    assert said is not None
    assert said.last_attempt["videos"] > said.last_receive["videos"]


@pytest.mark.long
def test_a_worker_says_that_it_lives_until_it_ends(start_worker: StartWorker) -> None:
    worker = start_worker("articles")
    said = wait_for(lambda: document(worker), "the worker's document", worker)
    wait_for(lambda: (now := document(worker)) and now.seen_at > said.seen_at, "its next beat", worker)
    assert (said.kinds, said.running) == (["articles"], 0)
    assert worker.stop() == 0
    assert document(worker) is None


UNABLE_TO_END = """
from threading import Event
from queues.deliveries import deliveries
from queues.receiver import Receiver
from tasks import liveness

def broken(kind):
    raise RuntimeError("told to")

Receiver.paused = staticmethod(broken)
liveness.start("w@here", slots=lambda: 1)
Receiver("articles", deliveries()).start()
Event().wait()
"""


@pytest.mark.long
def test_a_worker_that_can_not_end_in_order_ends_all_the_same(database: Any) -> None:
    assert BEYOND_GRACE_SECONDS < PATIENCE_SECONDS
    process = subprocess.run(
        [sys.executable, "-c", UNABLE_TO_END], cwd=CHECKOUT, env=os.environ | QUICK, timeout=PATIENCE_SECONDS, check=False
    )
    assert process.returncode == STUCK
