"""Many workers, relays and users at one job, in any order and at once: what must hold of its document holds after each step."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from pymongo.database import Database

from jobs import database as mongodb
from jobs.dispatch import dispatches
from jobs.life import FINAL, MOST_CRASHES, Status
from jobs.overdue import Overdue
from jobs.pace import pace
from jobs.store import store
from jobs.submit import Order

LONG_AGO = datetime.now(UTC) - timedelta(days=1)
MANY = 100

ENDS_OF_AN_ATTEMPT: dict[str, Callable[[str, str], bool]] = {
    "complete": lambda job, token: store().complete(job, token, result={"by": token}, usage={}),
    "fail": lambda job, token: store().fail(job, token, code="internal", message="m", retryable=False),
    "retry_later": lambda job, token: store().retry_later(job, token, seconds=5, code="internal", message="m"),
    "let_go": lambda job, token: store().retry_later(job, token, seconds=5, code="internal", message="m", keeps_message=False),
    "park": lambda job, token: store().park(job, token, reason="provider_outage", seconds=5),
    "hand_back": lambda job, token: store().hand_back(job, token),
    "cancel": lambda job, token: store().cancel(job, token),
}
WRITES_OF_AN_ATTEMPT: dict[str, Callable[[str, str], bool]] = {
    "progress": lambda job, token: store().progress(job, token, percent=10, stage="s"),
    "checkpoint": lambda job, token: store().checkpoint(job, token, {"by": token}),
}


class OneJob(RuleBasedStateMachine):
    """A token is a worker's claim, whether it was granted or not, whether it still stands or not."""

    tokens: Bundle[str] = Bundle("tokens")

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        super().__init__()
        self._jobs = database.jobs
        self._numbers = count(1)
        self._seen: dict[str, Any] = {}
        self._completed: dict[str, Any] | None = None

    @initialize(expires=st.sampled_from([False, False, False, True]))
    def submit(self, expires: bool) -> None:
        self._jobs.delete_many({})
        order = Order(kind="articles", payload={"mode": "topic", "topic": "Bees"}, user_id="ada")
        self._id = store().insert(order.document() | ({"expires_at": LONG_AGO} if expires else {}), by="web").id

    @property
    def _job(self) -> dict[str, Any]:
        document: dict[str, Any] | None = self._jobs.find_one({"_id": self._id})
        assert document is not None, "the job is gone"
        return document

    # -- workers

    @rule(target=tokens, takes_over=st.booleans())
    def claim(self, takes_over: bool) -> str:
        return self._claimed(takes_over)

    def _claimed(self, takes_over: bool) -> str:
        token = f"token-{next(self._numbers)}"
        before = self._job
        if self._claim(token, takes_over):
            assert before["status"] in {"queued", "retrying", "processing"}
            assert before["cancel_requested"] is None
            assert before["lease"] is None or (takes_over and before["lease"]["expires_at"] <= datetime.now(UTC))
        return token

    @rule(target=tokens, workers=st.integers(2, 4))
    def claims_at_once(self, workers: int) -> str:
        tokens = [f"token-{next(self._numbers)}" for _ in range(workers)]
        with ThreadPoolExecutor(workers) as pool:
            granted = [token for token, job in zip(tokens, pool.map(self._claim, tokens), strict=True) if job]
        assert len(granted) <= 1
        return granted[0] if granted else tokens[0]

    def _claim(self, token: str, takes_over: bool = True) -> object:
        name = f"message-{token}"
        return store().claim(self._id, kind="articles", token=token, worker=token, message_id=name, takes_over=takes_over)

    @rule(token=tokens)
    def claim_again(self, token: str) -> None:
        """An answer that was lost on its way: the worker repeats itself."""
        before = self._job
        if self._holds(before, token) and store().claim(self._id, kind="articles", token=token, worker=token, message_id=None):
            assert {name: self._job[name] for name in ("attempts", "crashes")} == {
                name: before[name] for name in ("attempts", "crashes")
            }

    @rule(token=tokens, verb=st.sampled_from([*WRITES_OF_AN_ATTEMPT, *ENDS_OF_AN_ATTEMPT]))
    def write(self, token: str, verb: str) -> None:
        is_held = self._holds(self._job, token)
        expected = is_held or (verb == "complete" and self._was_completed_by(token))
        assert (WRITES_OF_AN_ATTEMPT | ENDS_OF_AN_ATTEMPT)[verb](self._id, token) == expected

    @rule(token=tokens)
    def write_with_a_stale_token(self, token: str) -> None:
        before = self._job
        if not self._holds(before, token):
            for verb, write in (WRITES_OF_AN_ATTEMPT | ENDS_OF_AN_ATTEMPT).items():
                is_said_again = verb == "complete" and self._was_completed_by(token)
                assert write(self._id, token) == is_said_again, f"{verb} was done with a stale token"
            store().renew([token])
            assert self._job == before

    @rule(token=tokens, verbs=st.lists(st.sampled_from([*ENDS_OF_AN_ATTEMPT]), min_size=2, max_size=4))
    def ends_at_once(self, token: str, verbs: list[str]) -> None:
        held = self._holds(self._job, token)
        with ThreadPoolExecutor(len(verbs)) as pool:
            written = list(pool.map(lambda verb: ENDS_OF_AN_ATTEMPT[verb](self._id, token), verbs))
        done = [verb for verb, is_written in zip(verbs, written, strict=True) if is_written]
        if self._was_completed_by(token):  # which is said to whoever completes it once more under that token
            assert {*done} <= {"complete"}
            assert done or not held
        else:
            assert len(done) == held

    # -- users and relays

    @rule()
    def user_cancels(self) -> None:
        before = self._job
        answer = store().request_cancel(self._id, "ada")
        assert (answer is None) == (Status(before["status"]) in FINAL)

    @rule(verb=st.sampled_from([*ENDS_OF_AN_ATTEMPT]), token=tokens)
    def user_cancels_while_the_attempt_ends(self, verb: str, token: str) -> None:
        with ThreadPoolExecutor(2) as pool:
            asked = pool.submit(store().request_cancel, self._id, "ada")
            pool.submit(ENDS_OF_AN_ATTEMPT[verb], self._id, token).result()
            answer = asked.result()
        status = Status(self._job["status"])
        assert status in FINAL or self._job["cancel_requested"] is not None
        assert answer is not None or status in FINAL

    @rule()
    def user_starts_it_over(self) -> None:
        before = self._job
        if store().requeue(self._id, by="web"):
            assert Status(before["status"]) in FINAL - {Status.COMPLETED}
            assert (self._job["attempts"], self._job["crashes"], self._job["finished_at"]) == (0, 0, None)

    @rule(relays=st.integers(1, 3))
    def relays_send(self, relays: int) -> None:
        def round_of(number: int) -> list[str]:
            taken = dispatches().take(dispatches().unsent("articles", MANY), f"relay-{number}")
            for job in taken:
                store().mark_sent({job.id: f"sent-{next(self._numbers)}"}, n=job.dispatch["n"])
            return [job.id for job in taken]

        with ThreadPoolExecutor(relays) as pool:
            taken = [job_id for round_ in pool.map(round_of, range(relays)) for job_id in round_]
        assert len(taken) <= 1, "one dispatch was taken twice"

    @rule()
    def relay_sweeps(self) -> None:
        before = self._job
        for job_id in Overdue(mongodb.database(), pace()).leases("articles", MANY):
            assert store().recover(job_id) or store().give_up(job_id)
        for job_id in Overdue(mongodb.database(), pace()).unstarted("articles", MANY):
            assert store().expire(job_id)
        if self._job["crashes"] > before["crashes"]:
            assert before["lease"]["expires_at"] <= datetime.now(UTC)

    @rule()
    def delivery_ends_what_cannot_start(self) -> None:
        if not (store().cancel(self._id, None) or store().expire(self._id)):
            store().give_up(self._id)

    # -- time

    @rule()
    def lease_runs_out(self) -> None:
        self._jobs.update_one(
            {"_id": self._id, "status": "processing"}, {"$set": {"lease.expires_at": LONG_AGO}, "$inc": {"version": 1}}
        )

    @rule()
    def waits_are_over(self) -> None:
        for wait in ("not_before", "dispatch.until"):
            self._jobs.update_one({"_id": self._id, "finished_at": None, wait: {"$ne": None}}, {"$set": {wait: LONG_AGO}})

    @rule(target=tokens, deaths=st.integers(1, MOST_CRASHES + 1))
    def workers_die_one_after_another(self, deaths: int) -> str:
        for _ in range(deaths):
            token = self._claimed(takes_over=True)
            self.lease_runs_out()
            self.holds()
        return token

    # -- what must hold

    @invariant()
    def holds(self) -> None:
        job = self._job
        is_final = Status(job["status"]) in FINAL
        assert (job["finished_at"] is not None) == is_final
        assert (job["lease"] is not None) == (job["status"] == "processing")
        assert 0 <= job["attempts"] <= job["max_attempts"]
        assert 0 <= job["crashes"] <= MOST_CRASHES
        assert (job["result"] is not None) == (job["status"] == "completed")
        if job["status"] == "failed":
            assert any(effect["does"] == "dead_letter" for effect in job["effects"])
        self._version_grew(job)
        self._completed_stays(job)

    def _version_grew(self, job: dict[str, Any]) -> None:
        if self._seen and _told(job) != _told(self._seen):
            assert job["version"] > self._seen["version"]
        self._seen = job

    def _completed_stays(self, job: dict[str, Any]) -> None:
        assert self._completed in (None, job), "a completed job changed"
        if job["status"] == "completed":
            self._completed = job

    def _was_completed_by(self, token: str) -> bool:
        return bool(self._job["status"] == "completed" and self._job["completed_under"] == token)

    @staticmethod
    def _holds(job: dict[str, Any], token: str) -> bool:
        return bool(job["status"] == "processing" and job["lease"]["token"] == token)


def _told(job: dict[str, Any]) -> dict[str, Any]:
    """What of a job its readers are told: all but times that run."""
    told = {name: value for name, value in job.items() if name not in {"version", "not_before", "dispatch"}}
    return told | {"lease": job["lease"] and job["lease"]["token"]}


def test_a_job_in_the_hands_of_many_stays_whole(database: Database[dict[str, Any]]) -> None:
    class OneJobThere(OneJob):
        def __init__(self) -> None:
            super().__init__(database)

    run_state_machine_as_test(
        OneJobThere,
        settings=settings(
            max_examples=35,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
