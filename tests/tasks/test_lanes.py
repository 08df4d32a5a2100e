"""High priority, from the order to the start: by real workers that have more to do than they can."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from devstack.ai_service import AiService
from jobs.dispatch import dispatches
from jobs.relay import Relay
from jobs.sending import send
from jobs.store import store
from jobs.submit import Order, submit, submit_many
from queues.queue import queue_for
from queues.turns import HIGH_IN_A_ROW
from tests.jobs.jobs import TOKEN
from tests.jobs.waiting import PAST, in_queue, read
from tests.tasks.conftest import StartWorker
from tests.workers import wait_for

ARTICLE: dict[str, Any] = {"kind": "articles", "payload": {"mode": "topic", "topic": "Bees", "wordCount": 60}}
SLOTS = 2
SURPLUS = 20
"""Of short jobs so many wait in the worker, received before the high ones came."""


@pytest.fixture
def service() -> Any:
    with AiService() as made:
        made.behave(wait_seconds=0.2)
        yield made


def orders(jobs: int, priority: Any = "normal") -> list[Order]:
    return [Order(**ARTICLE, user_id="ada", priority=priority) for _ in range(jobs)]


def in_order_of_start(database: Any, since: datetime = PAST) -> list[str]:
    """The priorities of the jobs that were started since then, in the order of their starts."""
    return [job["priority"] for job in database.jobs.find({"started_at": {"$gt": since}}).sort("started_at")]


def count_before_last(order: list[str], of: str, last: str) -> int:
    """How many of the priority `of` were started before the last one of the priority `last`."""
    return order[: max((place for place, priority in enumerate(order) if priority == last), default=0)].count(of)


@pytest.mark.long
def test_ten_high_jobs_start_before_two_hundred_normal_ones_that_wait(
    start_worker: StartWorker, database: Any, service: AiService
) -> None:
    submit_many(orders(200))
    worker = start_worker("articles", options=("-c", str(SLOTS)), AI_SERVICE_URL=service.address)
    wait_for(lambda: len(in_order_of_start(database)) >= 20, "the normal ones to be under way", worker)
    submit_many(orders(10, "high"))
    all_wait_since = datetime.now(UTC)
    wait_for(lambda: in_order_of_start(database).count("high") == 10, "the high ones to start", worker)
    order = in_order_of_start(database, all_wait_since)
    assert count_before_last(order, "normal", "high") <= 2 * (SLOTS + SURPLUS)


def test_normal_jobs_are_not_starved_by_high_ones(start_worker: StartWorker, database: Any, service: AiService) -> None:
    service.behave(wait_seconds=0.05)
    submit_many(orders(100, "high") + orders(5))
    worker = start_worker("articles", options=("-c", str(SLOTS)), AI_SERVICE_URL=service.address)
    wait_for(lambda: in_order_of_start(database).count("normal") == 5, "the normal ones to start", worker)
    order = in_order_of_start(database)  # the high ones go on starting
    assert count_before_last(order, "high", "normal") <= 5 * HIGH_IN_A_ROW + 2 * (SLOTS + SURPLUS)


def test_whatever_sends_a_high_job_sends_it_to_the_high_lane(database: Any, queues: Any) -> None:
    job = submit(orders(1, "high")[0])
    assert in_queue(lane="high") == {job.id: 1}
    store().claim(job.id, kind="articles", token=TOKEN, worker="w", message_id=job.message_id)
    store().hand_back(job.id, TOKEN)
    send(dispatches().take([read(job.id)], "a worker that leaves"))
    assert in_queue(lane="high") == {job.id: 1}
    queue_for("articles", "high").purge()
    database.jobs.update_many({}, {"$set": {"dispatch.at": PAST, "dispatch.until": PAST}})
    Relay(["articles"]).round()
    assert (in_queue(lane="high"), in_queue(lane="normal")) == ({job.id: 1}, {})
