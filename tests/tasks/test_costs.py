"""What jobs cost, with a real worker and AI service."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from devstack.ai_service import AiService
from jobs.document import Job
from jobs.life import Status
from jobs.store import store
from jobs.submit import Order, submit
from tests.tasks.conftest import StartWorker
from tests.workers import finished, wait_for

PRICES = '{"service/*": {"images": 1.5}}'


def image_for(user_id: str) -> str:
    return submit(Order(kind="images", payload={"prompt": "Bees", "size": "64x64"}, user_id=user_id)).id


def waiting(job_id: str) -> Job | None:
    job = store().get(job_id)
    return job if job and job.waiting_for else None


def test_what_an_attempt_cost_is_the_jobs_and_who_has_spent_what_he_may_waits_alone(
    start_worker: StartWorker, database: Any
) -> None:
    with AiService() as service:
        worker = start_worker(
            "images",
            app="devstack.faulty",
            AI_SERVICE_URL=service.address,
            PRICES=PRICES,
            USER_SPENDING_LIMIT="1.5",
            PRESSROOM_FAULTS="raise:generated:1",  # the service has finished, and the attempt fails
        )
        first = finished(image_for("ada"), worker)
        assert (first.status, first.attempts) == (Status.COMPLETED, 2)
        assert first.usage is not None
        assert (first.usage["cost"], first.usage["images"], first.usage["generations"]) == (1.5, 1, 1)  # paid once: same key
        (entry,) = database.usage.find()
        next_day = date.fromisoformat(entry["day"]) + timedelta(days=1)  # it may begin just now
        database.usage.insert_one(entry | {"_id": "as much then", "day": next_day.isoformat()})
        second = image_for("ada")
        held = wait_for(lambda: waiting(second), "the job to wait", worker)
        others = finished(image_for("bob"), worker)
    assert held.waiting_for is not None
    assert (held.status, held.attempts, held.waiting_for["reason"]) == (Status.QUEUED, 0, "spending_limit")
    assert others.status is Status.COMPLETED
    assert {entry["user_id"]: entry["cost"] for entry in database.usage.find()} == {"ada": 1.5, "bob": 1.5}
