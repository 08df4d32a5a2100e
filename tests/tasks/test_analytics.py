"""Batches of events through real workers, one of which is killed between counting and saying so."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.analytics import analytics
from jobs.life import Status
from jobs.submit import Order, submit_many
from queues.queue import Outgoing, queue_for
from queues.wire import JobMessage
from tests.tasks.conftest import StartWorker
from tests.workers import Worker, finished, wait_for

QUICK = {"LEASE_SECONDS": "3", "SQS_WAIT_TIME_SECONDS": "1"}


@pytest.fixture(autouse=True)
def quick(environment: Callable[..., None]) -> None:
    environment(**QUICK)


def batch(*events: dict[str, Any]) -> Order:
    return Order(kind="analytics", payload={"events": list(events)}, user_id="ada")


def counted(subject: str | None = None) -> int:
    now = datetime.now(UTC)
    found = analytics().counts("ada", since=now - timedelta(days=2), until=now + timedelta(days=1), by="hour", subject=subject)
    return sum(each.n for each in found)


def test_every_event_is_counted_once_with_a_worker_killed_in_between(
    start_worker: StartWorker, database: Any, tmp_path: Path
) -> None:
    views = [{"event": "article_view", "subject": f"page-{number % 5}"} for number in range(50)]
    jobs = submit_many([batch(*views) for _ in range(40)])
    again = [Outgoing(JobMessage(job.id, "ada", "analytics").body()) for job in jobs[:10]]
    queue_for("analytics").send_batch(again)  # as SQS delivers some messages twice
    fault = f"kill:stored:job={jobs[7].id}"
    killed = Worker(tmp_path / "killed.log", "analytics", app="devstack.faulty", options=("-c", "2"), PRESSROOM_FAULTS=fault)
    wait_for(lambda: killed.process.poll() == -signal.SIGKILL, "the worker to die", killed)
    worker = start_worker("analytics")
    wait_for(lambda: database.jobs.count_documents({"status": "completed"}) == 40, "all to be counted", worker)
    assert database.jobs.find_one({"_id": jobs[7].id})["crashes"] == 1
    assert (counted(), counted("page-3")) == (2_000, 400)


def test_late_events_count_in_their_hour_and_later_ones_not_at_all(start_worker: StartWorker) -> None:
    event = {"event": "video_play", "subject": "waves"}
    late = datetime.now(UTC) - timedelta(hours=26)
    right, wrong = submit_many(
        [batch({**event, "at": late.isoformat()}), batch(event, {**event, "at": "2001-01-01T00:00:00Z"})]
    )
    worker = start_worker("analytics")
    assert finished(right.id, worker).status is Status.COMPLETED
    refused = finished(wrong.id, worker)
    assert refused.error is not None
    assert refused.error["code"] == "invalid_payload"
    assert "events[1].at" in refused.error["message"]
    assert counted() == 1
    hour = late.replace(minute=0, second=0, microsecond=0)
    found = analytics().counts("ada", since=hour, until=hour + timedelta(hours=1), by="hour")
    assert [each.n for each in found] == [1]
