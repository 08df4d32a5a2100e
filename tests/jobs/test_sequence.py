"""The order of a user's jobs: numbers without gaps in sight, and claims that never overtake, whoever reads what when."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule, run_state_machine_as_test
from pymongo.database import Database

from jobs.dispatch import dispatches
from jobs.document import Job
from jobs.errors import InvalidPayload
from jobs.life import FINAL, OPEN, Status
from jobs.relay import Relay
from jobs.sequence import ordering
from jobs.store import store
from jobs.submit import Order, submit, submit_many
from queues.queue import queue_for
from tests.jobs.jobs import TOKEN
from tests.jobs.ordered import change
from tests.jobs.waiting import FUTURE, PAST, in_queue, read
from tests.other_processes import at_once

LONG_AGO = datetime.now(UTC) - timedelta(days=1)
USERS = ("ada", "grace")

EACH_SUBMITS_FIVE = """
from jobs.store import store
from tests.jobs.ordered import change
print(json.dumps([store().insert(change().document(), by="web").seq for _ in range(5)]))
"""


def oldest(user_id: str = "ada") -> Job:
    found, _ = ordering().oldest("resumes", f"user-{user_id}")
    assert found is not None
    return found


def claim(job: Job, token: str = TOKEN) -> Job | None:
    return store().claim(job.id, kind="resumes", seq=job.seq, token=token, worker="w", message_id="m")


@pytest.mark.usefixtures("database", "queues")
def test_many_processes_number_one_users_jobs_without_a_gap_and_without_a_double() -> None:
    numbers = at_once(6, ready="from jobs.database import database; database().ping()", then=EACH_SUBMITS_FIVE)
    assert sorted(number for each in numbers for number in each) == list(range(1, 31))
    assert all(each == sorted(each) for each in numbers)


@pytest.mark.usefixtures("database", "queues")
def test_each_user_has_an_order_of_his_own_which_a_batch_keeps() -> None:
    orders = [change(user_id=user_id) for user_id in ("ada", "grace", "ada", "ada", "grace")]
    article = Order(kind="articles", payload={"topic": "Bees"}, user_id="ada")
    jobs = submit_many([*orders[:2], article, *orders[2:]])
    assert [(job.user_id, job.seq) for job in jobs if job.group] == [
        ("ada", 1),
        ("grace", 1),
        ("ada", 2),
        ("ada", 3),
        ("grace", 2),
    ]
    assert (jobs[2].group, jobs[2].seq) == (None, None)
    assert in_queue("resumes") == {job.id: 1 for job in jobs if job.group}


@pytest.mark.usefixtures("database", "queues")
def test_an_order_that_is_given_twice_keeps_its_number() -> None:
    order = Order(kind="resumes", payload=change().payload, user_id="ada", job_id="mine")
    first, _, again = submit(order), submit(change()), submit(order)
    assert (first.seq, again.seq, again.id) == (1, 1, "mine")


@pytest.mark.usefixtures("database", "queues")
def test_a_time_to_start_is_refused() -> None:
    with pytest.raises(InvalidPayload, match="in the order of their submission"):
        Order(kind="resumes", payload={}, user_id="ada", run_at=FUTURE)


@pytest.mark.usefixtures("database", "queues")
def test_nothing_but_the_oldest_open_job_is_claimed() -> None:
    first, second = submit(change()), submit(change())
    assert oldest().id == first.id
    assert claim(first)
    assert oldest().id == first.id, "it is still open"
    store().complete(first.id, TOKEN, result={}, usage={})
    assert oldest().id == second.id


@pytest.mark.usefixtures("database", "queues")
def test_a_claim_by_a_number_that_is_no_more_fails() -> None:
    first, second = submit(change()), submit(change())
    store().request_cancel(first.id, "ada")
    again = store().requeue(first.id, by="web")
    assert again is not None
    assert (again.seq, oldest().id) == (3, second.id), "what is started over is the last"
    assert claim(first) is None
    assert claim(second)


@pytest.mark.usefixtures("queues")
def test_an_emptied_queue_is_filled_again_with_a_message_for_each_user(database: Any, environment: Callable[..., None]) -> None:
    jobs = submit_many([change(user_id=user_id) for user_id in USERS * 3])
    queue_for("resumes").purge()
    database.jobs.update_many({}, {"$set": {"dispatch.at": PAST, "dispatch.until": PAST}})
    assert dispatches().count_sent("resumes") == len(USERS)
    assert Relay(["resumes"]).round().done == {"silent": 2}
    assert in_queue("resumes") == {job.id: 1 for job in jobs[:2]}


@pytest.mark.usefixtures("database", "queues")
def test_sending_a_job_again_is_no_duplicate_to_sqs(database: Any) -> None:
    job = submit(change())
    assert in_queue("resumes") == {job.id: 1}
    queue_for("resumes").purge()
    store().forget_message(job.id, str(job.message_id))
    Relay(["resumes"]).round()
    assert read(job.id).message_id not in (None, job.message_id)
    assert in_queue("resumes") == {job.id: 1}


ENDS: dict[str, Callable[[str, str], bool]] = {
    "complete": lambda job, token: store().complete(job, token, result={}, usage={}),
    "fail": lambda job, token: store().fail(job, token, code="internal", message="m", retryable=False),
    "retry_later": lambda job, token: store().retry_later(job, token, seconds=5, code="internal", message="m"),
    "park": lambda job, token: store().park(job, token, reason="provider_outage", seconds=5),
    "hand_back": lambda job, token: store().hand_back(job, token),
}


class TwoUsers(RuleBasedStateMachine):
    """`seen` is what some worker has read of a group a while ago; it may claim by it at any time."""

    seen: Bundle[Job] = Bundle("seen")
    tokens: Bundle[tuple[str, str]] = Bundle("tokens")

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        super().__init__()
        self._jobs = database.jobs
        self._database = database
        self._numbers = count(1)
        self._over: dict[tuple[str, int], str] = {}

    @initialize()
    def empty(self) -> None:
        self._jobs.delete_many({})
        self._database.sequences.delete_many({})

    @rule(user_id=st.sampled_from(USERS), jobs=st.integers(1, 3))
    def submit(self, user_id: str, jobs: int) -> None:
        store().insert_many([change(user_id=user_id).document() for _ in range(jobs)], by="web")

    @rule(users=st.lists(st.sampled_from(USERS), min_size=2, max_size=4))
    def submit_at_once(self, users: list[str]) -> None:
        with ThreadPoolExecutor(len(users)) as pool:
            made = list(pool.map(lambda user_id: store().insert(change(user_id=user_id).document(), by="web"), users))
        assert len({(job.group, job.seq) for job in made}) == len(users)

    @rule(target=seen, user_id=st.sampled_from(USERS))
    def look(self, user_id: str) -> Any:
        found, _ = ordering().oldest("resumes", f"user-{user_id}")
        return found

    @rule(target=tokens, job=seen)
    def claim(self, job: Job | None) -> tuple[str, str]:
        token = f"token-{next(self._numbers)}"
        if job is None:
            return "", token
        open_before = self._open(job.group)
        if claim(job, token):
            assert open_before[0]["_id"] == job.id, "a later job overtook an open one"
        return job.id, token

    @rule(target=tokens, user_id=st.sampled_from(USERS), job=seen, workers=st.integers(2, 4))
    def claim_at_once(self, user_id: str, job: Job | None, workers: int) -> tuple[str, str]:
        fresh, _ = ordering().oldest("resumes", f"user-{user_id}")
        tries = [(each, f"token-{next(self._numbers)}") for each in [fresh, job] * workers if each is not None]
        with ThreadPoolExecutor(4) as pool:
            granted = [got for got in pool.map(lambda each: claim(*each) and each, tries) if got]
        assert len(granted) <= len({job.group for job, _ in granted}), "two jobs of a user were claimed"
        return (granted[0][0].id, granted[0][1]) if granted else ("", "")

    @rule(held=tokens, end=st.sampled_from([*ENDS]))
    def end(self, held: tuple[str, str], end: str) -> None:
        ENDS[end](*held)

    @rule(held=consumes(tokens))
    def lease_runs_out(self, held: tuple[str, str]) -> None:
        self._jobs.update_one({"_id": held[0], "status": "processing"}, {"$set": {"lease.expires_at": LONG_AGO}})

    @rule(job=seen)
    def cancel(self, job: Job | None) -> None:
        if job is not None:
            store().request_cancel(job.id, job.user_id)

    @rule(user_id=st.sampled_from(USERS))
    def start_over(self, user_id: str) -> None:
        over = {"user_id": user_id, "status": {"$in": ["failed", "cancelled", "expired"]}}
        for document in self._jobs.find(over).limit(1):
            assert store().requeue(document["_id"], by="web")

    @rule()
    def waits_are_over(self) -> None:
        self._jobs.update_many({"not_before": {"$ne": None}}, {"$set": {"not_before": LONG_AGO}})

    @invariant()
    def at_most_one_job_of_a_user_is_claimed_and_it_is_the_oldest(self) -> None:
        for user_id in USERS:
            statuses = [job["status"] for job in self._open(f"user-{user_id}")]
            assert "processing" not in statuses[1:]

    @invariant()
    def what_is_over_is_over_for_good_under_its_number(self) -> None:
        for job in self._jobs.find():
            number = job["group"], job["seq"]
            assert self._over.get(number) in (None, job["_id"])
            assert number not in self._over or Status(job["status"]) in FINAL
            if Status(job["status"]) in FINAL:
                self._over[number] = job["_id"]

    def _open(self, group: str | None) -> list[dict[str, Any]]:
        open_statuses = [status.value for status in OPEN]
        return list(self._jobs.find({"group": group, "status": {"$in": open_statuses}}).sort("seq"))


@pytest.mark.long
def test_claims_keep_the_order_whoever_reads_and_claims_when(database: Database[dict[str, Any]]) -> None:
    class TwoUsersThere(TwoUsers):
        def __init__(self) -> None:
            super().__init__(database)

    run_state_machine_as_test(
        TwoUsersThere,
        settings=settings(
            max_examples=30,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
