"""A MongoDB that steps down in the middle of a write: it was written there, and what takes over may not have it. Nobody goes on
as if it were done; doing it again with the same id or token is harmless."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from jobs.database import DatabaseUnavailable
from jobs.dispatch import dispatches
from jobs.life import Status
from jobs.store import store
from jobs.submit import Order, submit
from tests.jobs.ordered import change
from tests.jobs.waiting import put, read

STEPPED_DOWN = 189
"""MongoDB's code for "the primary stepped down while this waited for a majority"."""
ORDER = Order(kind="articles", payload={"topic": "Bees"}, user_id="ada", job_id="mine")
TRIES = 2
"""As often the driver tries it."""

Fail = Callable[..., None]


@pytest.fixture
def step_down(mongo_client: Any, database: Any) -> Iterator[Fail]:
    """Call it with a command: MongoDB steps down in the middle of the next ones. (The indexes are there.)"""
    store().get("ada")

    def during(command: str, times: int = TRIES) -> None:
        fault = {"writeConcernError": {"code": STEPPED_DOWN, "errmsg": "stepped down"}, "errorLabels": ["RetryableWriteError"]}
        told = {"failCommands": [command], "appName": "pressroom", **fault}
        try:
            mode = {"times": times} if times else "off"
            mongo_client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": told})
        except OperationFailure as error:
            pytest.skip(f"this MongoDB fails at no one's command: {error}")

    yield during
    mongo_client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


def test_a_job_that_no_majority_has_is_not_accepted_and_ordered_again_it_is_one_job(
    step_down: Fail, queues: Any, database: Any
) -> None:
    step_down("insert")
    with pytest.raises(DatabaseUnavailable):
        submit(ORDER)
    assert submit(ORDER).id == "mine"
    assert database.jobs.count_documents({}) == 1


def test_where_an_order_is_kept_the_driver_asks_again_whether_a_majority_has_it(
    step_down: Fail, queues: Any, database: Any
) -> None:
    step_down("commitTransaction")
    job = submit(change())
    assert [each["_id"] for each in database.jobs.find()] == [job.id]


def test_a_claim_is_asked_for_again_with_its_token_and_counts_once(step_down: Fail, database: Any) -> None:
    job_id = put(database).id

    def claim() -> Any:
        return store().claim(job_id, kind="articles", token="mine", worker="w", message_id="m")

    step_down("findAndModify")
    with pytest.raises(DatabaseUnavailable):
        claim()
    job = claim()
    assert (job.status, job.attempts, job.crashes) == (Status.PROCESSING, 1, 0)


def test_a_completion_is_written_again_with_its_token_and_answers_as_the_first(step_down: Fail, database: Any) -> None:
    job_ids = [put(database, "processing", lease={"token": f"t{n}", "worker": "w", "expires_at": None}).id for n in range(8)]

    def complete(n: int) -> bool | str:
        try:
            return store().complete(job_ids[n], f"t{n}", result={"n": n}, usage={})
        except DatabaseUnavailable:
            return "away"

    step_down("update", times=100)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(complete, range(8))) == {"away"}
        step_down("update", times=0)
        assert set(pool.map(complete, range(8))) == {True}
    assert [read(job_id).result for job_id in job_ids] == [{"n": n} for n in range(8)]


def test_a_dispatch_that_no_majority_has_is_nobodys_to_send(step_down: Fail, database: Any) -> None:
    job = put(database)
    step_down("update")
    with pytest.raises(DatabaseUnavailable):
        dispatches().take([job], "relay")
