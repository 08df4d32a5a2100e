"""Users' shares with a real worker, on plain arrival order: the SQS of the tests knows nothing of fairness."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from devstack.ai_service import AiService
from jobs.submit import Order, submit, submit_many
from tests.jobs.waiting import read
from tests.tasks.conftest import StartWorker
from tests.workers import wait_for

CAP = 5


def order(user_id: str) -> Order:
    return Order(kind="articles", payload={"mode": "topic", "topic": "Bees", "wordCount": 60}, user_id=user_id)


def test_one_job_of_another_user_starts_among_the_first_beside_five_hundred(
    start_worker: StartWorker, database: Any, environment: Any
) -> None:
    environment(USER_RUNNING_JOBS=str(CAP))
    started: dict[str, Any] = {"user_id": "ada", "started_at": {"$ne": None}}
    with AiService() as service:
        service.behave(wait_seconds=0.2)
        submit_many([order("ada") for _ in range(500)])
        worker = start_worker("articles", options=("-c", "2"), AI_SERVICE_URL=service.address)
        wait_for(lambda: database.jobs.count_documents(started) >= CAP, "the first to start", worker)
        single = submit(order("grace"))
        waits_since = datetime.now(UTC)
        at = wait_for(lambda: read(single.id).started_at, "the single one to start", worker)
    assert database.jobs.count_documents({"user_id": "ada", "started_at": {"$gt": waits_since, "$lt": at}}) <= 2 * CAP
