"""Changes of resumes, in order for each user, by real workers that are killed, told to stop and left without messages."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pymongo import ASCENDING

from devstack.faults import Fault, plant
from jobs.errors import InvalidPayload, LeaseLost
from jobs.life import OPEN, Status
from jobs.resumes import Change, resumes
from jobs.sequence import ordering
from jobs.store import store
from jobs.submit import submit, submit_many
from queues.clients import sqs
from queues.queue import Outgoing, dead_letters_of, queue_for
from queues.steps import Step
from queues.wire import JobMessage
from tests.jobs.jobs import TOKEN
from tests.jobs.ordered import change
from tests.jobs.waiting import in_queue, read
from tests.sqs import SqsProxy
from tests.tasks.conftest import StartWorker
from tests.workers import PATIENCE_SECONDS, Worker, finished, wait_for

FAULTY = "devstack.faulty"
QUICK = {"LEASE_SECONDS": "3", "SQS_WAIT_TIME_SECONDS": "1"}
USERS = ("ada", "grace", "mary")


@pytest.fixture(autouse=True)
def quick(environment: Callable[..., None]) -> None:
    environment(**QUICK)


def data(number: int) -> dict[str, Any]:
    return {"data": {"number": number}}


def is_over(database: Any) -> bool:
    return not database.jobs.count_documents({"status": {"$in": [status.value for status in OPEN]}})


def in_order_of_end(database: Any, user_id: str) -> list[int]:
    """The numbers of the user's jobs, in the order of their ends."""
    found = database.jobs.find({"user_id": user_id}).sort([("finished_at", ASCENDING), ("seq", ASCENDING)])
    return [job["seq"] for job in found]


# -- what a change does


def claimed(order: Any) -> Any:
    job = submit(order)
    oldest, _ = ordering().oldest("resumes", str(job.group))
    assert oldest is not None
    return store().claim(oldest.id, kind="resumes", seq=oldest.seq, token=TOKEN, worker="w", message_id="m")


def apply(action: Any, **fields: Any) -> int:
    job = claimed(change(action, **fields))
    try:
        return resumes().apply(job, Change(action=action, resume_id="cv", **fields))
    finally:
        store().complete(job.id, TOKEN, result={}, usage={})


@pytest.mark.usefixtures("database", "queues")
def test_a_resume_is_created_updated_deleted_and_created_again() -> None:
    assert apply("CREATE", template="plain", **data(1)) == 1
    assert apply("UPDATE", **data(2)) == 2
    assert apply("UPDATE", template="fine") == 3
    now = resumes().get("ada", "cv")
    assert now is not None
    assert (now.template, now.data, now.version) == ("fine", {"number": 2}, 3)
    assert resumes().get("grace", "cv") is None
    assert apply("DELETE") == 4
    assert resumes().get("ada", "cv") is None
    assert apply("DELETE") == 0
    assert apply("CREATE", **data(5)) == 5
    again = resumes().get("ada", "cv")
    assert again is not None
    assert (again.template, again.data) == (None, {"number": 5})


@pytest.mark.usefixtures("database", "queues")
def test_what_a_resume_does_not_allow_is_refused_in_plain_words() -> None:
    with pytest.raises(InvalidPayload, match="There is no resume 'cv' to update"):
        apply("UPDATE", **data(1))
    apply("CREATE", **data(1))
    with pytest.raises(InvalidPayload, match="There is a resume 'cv' already"):
        apply("CREATE", **data(2))
    apply("DELETE")
    with pytest.raises(InvalidPayload, match="There is no resume 'cv' to update"):
        apply("UPDATE", **data(3))


@pytest.mark.usefixtures("database", "queues")
def test_a_change_that_is_applied_again_changes_nothing_more() -> None:
    job = claimed(change("CREATE", **data(1)))
    once = Change(action="CREATE", resume_id="cv", **data(1))
    assert [resumes().apply(job, once) for _ in range(3)] == [1, 1, 1]


@pytest.mark.usefixtures("database", "queues")
def test_a_change_that_comes_after_later_ones_changes_nothing() -> None:
    late = claimed(change("CREATE", **data(1)))
    store().complete(late.id, TOKEN, result={}, usage={})  # as another worker has done it since
    apply("CREATE", **data(2))
    apply("DELETE")
    with pytest.raises(LeaseLost):
        resumes().apply(late, Change(action="CREATE", resume_id="cv", **data(1)))
    assert resumes().get("ada", "cv") is None


# -- by a worker


def test_changes_are_applied_in_their_order_and_one_that_fails_stops_nobody(start_worker: StartWorker, database: Any) -> None:
    orders = [change(**data(0)), change("CREATE", **data(1)), change("CREATE", **data(2)), change(**data(3))]
    jobs = submit_many(orders)
    worker = start_worker("resumes")
    statuses = [finished(job.id, worker).status for job in jobs]
    assert statuses == [Status.FAILED, Status.COMPLETED, Status.FAILED, Status.COMPLETED]
    assert in_order_of_end(database, "ada") == [1, 2, 3, 4]
    error = read(jobs[0].id).error
    assert error is not None
    assert (error["code"], error["message"]) == ("invalid_payload", "There is no resume 'cv' to update. Create it first.")
    now = resumes().get("ada", "cv")
    assert now is not None
    assert (now.data, now.version) == ({"number": 3}, 2)
    wait_for(lambda: queue_for("resumes").depth().total == 0, "the messages to be done with", worker)
    wait_for(lambda: dead_letters_of("resumes").depth().visible == 2, "the two dead letters, looked at by no relay", worker)


def test_one_message_serves_all_that_waits_in_its_group(start_worker: StartWorker, sqs_proxy: SqsProxy) -> None:
    jobs = submit_many([change("CREATE", **data(0)), *(change(**data(n)) for n in range(1, 30))])
    queue_for("resumes").purge()
    queue_for("resumes").send(Outgoing(JobMessage(jobs[17].id, "ada", "resumes").body(), group="somebody"))
    worker = start_worker("resumes")
    assert finished(jobs[-1].id, worker).status is Status.COMPLETED
    now = resumes().get("ada", "cv")
    assert now is not None
    assert (now.data, now.version) == ({"number": 29}, 30)
    wait_for(lambda: queue_for("resumes").depth().total == 0, "the message to be done with", worker)


def test_a_retry_holds_up_what_is_behind_it_and_only_that(start_worker: StartWorker, database: Any) -> None:
    first, second = submit_many([change("CREATE", **data(1)), change(**data(2))])
    other = submit(change("CREATE", user_id="grace", **data(1)))
    worker = start_worker("resumes", app=FAULTY, PRESSROOM_FAULTS=f"raise:generated:job={first.id}:1")
    assert [finished(job.id, worker).status for job in (other, first, second)] == [Status.COMPLETED] * 3
    assert (read(first.id).attempts, read(second.id).attempts) == (2, 1)
    assert in_order_of_end(database, "ada") == [1, 2]


def test_a_change_that_hangs_is_timed_out_and_its_group_goes_on(start_worker: StartWorker, database: Any) -> None:
    first, second = submit_many([change("CREATE", **data(1)), change(**data(2))])
    worker = start_worker("resumes", app=FAULTY, PRESSROOM_FAULTS=f"max_seconds=5,hang:generated:job={first.id}:1")
    assert [finished(job.id, worker).status for job in (first, second)] == [Status.COMPLETED] * 2
    assert [entry.get("code") for entry in read(first.id).history if entry["verb"] == "retry_later"] == ["timed_out"]
    assert in_order_of_end(database, "ada") == [1, 2]


def test_a_failed_change_that_is_started_over_comes_last(start_worker: StartWorker, database: Any) -> None:
    early = submit(change(**data(1)))
    worker = start_worker("resumes")
    assert finished(early.id, worker).status is Status.FAILED
    created = submit(change("CREATE", **data(2)))
    assert finished(created.id, worker).status is Status.COMPLETED
    wait_for(lambda: queue_for("resumes").depth().total == 0, "the messages to be done with", worker)
    assert redrive() == 1
    assert wait_for(lambda: read(early.id).status is Status.COMPLETED, "the change to be applied", worker)
    now = resumes().get("ada", "cv")
    assert now is not None
    assert (now.data, read(early.id).seq) == ({"number": 1}, 3)


def redrive() -> int:
    """AWS's own tool, as an operator would use it; how many it moved."""
    dead, queue = dead_letters_of("resumes"), queue_for("resumes")
    found = wait_for(lambda: dead.receive(10, visibility_seconds=60, wait_seconds=0), "the dead letter")
    for message in found:
        queue.send(Outgoing(message.body, dict(message.typed_attributes), group="-"))
    dead.delete(message.receipt_handle for message in found)
    return len(found)


def test_a_worker_told_to_stop_leaves_the_rest_to_the_next(start_worker: StartWorker, database: Any) -> None:
    jobs = submit_many([change("CREATE", **data(0)), *(change(**data(n)) for n in range(1, 100))])
    leaving = start_worker("resumes", app="tests.tasks.slow")  # it needs 20 seconds for all
    wait_for(lambda: read(jobs[3].id).status is Status.COMPLETED, "some to be done", leaving)
    assert leaving.stop() == 0
    assert read(jobs[-1].id).status is Status.QUEUED
    second = start_worker("resumes")
    wait_for(lambda: is_over(database), "the rest", second)
    assert in_order_of_end(database, "ada") == [*range(1, 101)]
    assert {job["attempts"] for job in database.jobs.find()} == {1}


# -- all at once


class Fleet:
    """Two workers, started anew when they die."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.faults = directory / "faults"
        self.faults.mkdir()
        self.workers: list[Worker] = []
        self.deaths = 0

    def keep(self) -> bool:
        """False, so that it may stand before a condition."""
        for place, worker in enumerate([*self.workers]):
            if worker.process.poll() is not None:
                self.deaths += 1
                self.workers[place] = self._start()
        while len(self.workers) < 2:
            self.workers.append(self._start())
        return False

    def _start(self) -> Worker:
        log = self._directory / "workers.log"
        return Worker(log, "resumes", app=FAULTY, PRESSROOM_FAULTS_DIRECTORY=str(self.faults), SHUTDOWN_GRACE_SECONDS="1")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path)
    yield made
    with ExitStack() as stopping:
        for worker in made.workers:
            stopping.callback(worker.process.wait)
            stopping.callback(worker.process.kill)


def sequentially(orders: list[Any]) -> dict[str, Any]:
    """What the changes make of a user's resumes, one after another."""
    state: dict[str, Any] = {}
    for order in orders:
        payload = order.payload
        action, resume_id = payload["action"], payload["resumeId"]
        if action == "DELETE":
            state.pop(resume_id, None)
        elif (action == "CREATE") != (resume_id in state):
            state[resume_id] = payload["data"]
    return state


@pytest.mark.long
def test_killed_workers_retries_and_a_queue_emptied_in_between_change_nothing_about_the_order(
    queues: Any, database: Any, fleet: Fleet
) -> None:
    choose = random.Random(7)
    actions = ["CREATE", "UPDATE", "UPDATE", "UPDATE", "DELETE"]
    orders = {
        user_id: [
            *(change("CREATE", user_id, resume_id, **data(0)) for resume_id in "ab"),
            *(
                change(
                    action := choose.choice(actions), user_id, choose.choice("ab"), **({} if action == "DELETE" else data(n))
                )
                for n in range(1, 9)
            ),
        ]
        for user_id in USERS
    }
    jobs = [submit(order) for each in zip(*orders.values(), strict=True) for order in each]
    claimed, recorded, broken = choose.sample(jobs[5:20], 3)
    for fault in (
        Fault("kill", Step.ARRIVED),
        Fault("kill", Step.CLAIMED, claimed.id),
        Fault("kill", Step.STORED),
        Fault("kill", Step.RECORDED, recorded.id),
        Fault("raise", Step.GENERATED, broken.id),
        Fault("kill", Step.PUT_OFF),
    ):
        plant(fault, fleet.faults)
    fleet.keep()
    wait_for(lambda: fleet.keep() or database.jobs.count_documents({"status": "completed"}) > 3, "some to be done")
    sqs().purge_queue(QueueUrl=queue_for("resumes").url)
    wait_for(lambda: fleet.keep() or is_over(database), "all to be over", patience_seconds=4 * PATIENCE_SECONDS)
    assert fleet.deaths
    assert not [*fleet.faults.iterdir()], "these faults did not happen"
    for user_id, theirs in orders.items():
        there = database.resumes.find({"_id.user_id": user_id, "deleted_at": None})
        state = {found["_id"]["resume_id"]: found["data"] for found in there}
        assert state == sequentially(theirs)
        assert in_order_of_end(database, user_id) == [*range(1, 11)]
    wait_for(lambda: fleet.keep() or queue_for("resumes").depth().total == 0, "the messages to be done with")
    assert in_queue("resumes") == {}
