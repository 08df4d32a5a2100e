"""A MongoDB that steps down in the middle of a write: it was written there, and what takes over may not have it. Nobody goes on
as if it were done; doing it again with the same id or token is harmless."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure

from devstack import mongod
from devstack.watchdog import Watchdog
from jobs.database import DatabaseUnavailable
from jobs.dispatch import dispatches
from jobs.life import Status
from jobs.store import store
from jobs.submit import Order, submit
from tasks.patience import patiently
from tests.jobs.ordered import change
from tests.jobs.waiting import put, read
from tests.workers import wait_for

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
        if command != "commitTransaction":  # or a thread that writes its counts would use up the times
            told["namespace"] = f"{database.name}.jobs"
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

    step_down("findAndModify", times=1)  # whoever claims asks again, and not the driver
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


@pytest.fixture
def own_mongodb(tmp_path: Path, watchdog: Watchdog, environment: Callable[..., None]) -> Iterator[MongoClient[dict[str, Any]]]:
    """A MongoDB that no other test uses, and the one of the settings."""
    server = mongod.start(tmp_path / "mongodb" / "data", watchdog)
    environment(MONGODB_URI=server.uri, MONGODB_DATABASE="pressroom")
    with MongoClient[dict[str, Any]](server.uri) as client:
        yield client
    server.stop()


@pytest.mark.long
def test_jobs_are_done_once_and_no_attempt_is_lost_while_mongodb_steps_down_again_and_again(
    own_mongodb: MongoClient[dict[str, Any]],
) -> None:
    done: list[str] = []
    is_enough = Event()

    def do_jobs() -> None:
        while not is_enough.is_set():
            document, token = Order(kind="articles", payload={}, user_id="ada").document(), uuid4().hex
            job = patiently(partial(store().insert, document, by="web"))
            claim = partial(store().claim, job.id, kind="articles", token=token, worker="w", message_id="m")
            assert patiently(claim)
            assert patiently(partial(store().progress, job.id, token, percent=50, stage="Half way"))
            assert patiently(partial(store().complete, job.id, token, result={"by": token}, usage={}))
            done.append(job.id)

    with ThreadPoolExecutor(8) as pool:
        workers = [pool.submit(do_jobs) for _ in range(8)]
        try:
            for _ in range(3):
                before = len(done)
                with suppress(ConnectionFailure):
                    own_mongodb.admin.command("replSetStepDown", 2, secondaryCatchUpPeriodSecs=0, force=True)
                wait_for(lambda: len(done) > before + 2 * len(workers), "the jobs to go on")  # noqa: B023 - called at once
        finally:
            is_enough.set()
        for each in workers:
            each.result()
    found = {job["_id"]: job for job in own_mongodb.pressroom.jobs.find()}
    assert found.keys() == {*done}
    assert {(job["status"], job["attempts"], job["crashes"]) for job in found.values()} == {("completed", 1, 0)}
