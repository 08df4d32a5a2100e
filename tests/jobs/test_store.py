"""What the verbs of the store write, and under which conditions, against a real MongoDB."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.errors import WriteError

from jobs.document import Job
from jobs.life import MOST_CRASHES, Status
from jobs.pace import pace
from jobs.store import store
from tests.jobs.jobs import TOKEN, document
from tests.jobs.waiting import FUTURE


def put(database: Any, *args: Any, **fields: Any) -> str:
    made = document(*args, **fields)
    database.jobs.insert_one(made)
    return str(made["_id"])


def read(job_id: str) -> Job:
    job = store().get(job_id)
    assert job is not None
    return job


def claim(job_id: str, token: str = "mine") -> Job | None:
    return store().claim(job_id, kind="articles", token=token, worker="worker-1", message_id="message-1")


def test_a_claim_writes_token_and_expiry_and_counts_the_attempt(database: Any) -> None:
    job = claim(put(database))
    assert job is not None
    assert job.lease is not None
    assert (job.lease.token, job.lease.worker, job.message_id, job.attempts) == ("mine", "worker-1", "message-1", 1)
    assert job.started_at is not None
    assert job.lease.expires_at - job.started_at == timedelta(seconds=pace().lease)


def test_repeating_a_claim_with_its_token_changes_no_count(database: Any) -> None:
    job_id = put(database)
    claim(job_id)
    again = claim(job_id)
    assert again is not None
    assert (again.attempts, again.crashes) == (1, 0)


def test_a_leased_job_is_nobody_elses(database: Any) -> None:
    job_id = put(database)
    claim(job_id)
    assert claim(job_id, "other") is None


def test_a_job_of_another_kind_is_not_claimed(database: Any) -> None:
    assert claim(put(database, kind="images")) is None


def test_of_many_workers_at_once_one_gets_the_job(database: Any) -> None:
    job_id = put(database)
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda n: claim(job_id, f"token-{n}"), range(8)))
    won = [job for job in claims if job is not None]
    assert len(won) == 1
    assert read(job_id).attempts == 1


def test_a_lease_that_ran_out_is_taken_over_as_a_crash_and_not_as_an_attempt(database: Any) -> None:
    job = claim(put(database, "processing", lease_seconds=-1))
    assert job is not None
    assert (job.attempts, job.crashes) == (1, 1)


def test_the_worker_whose_lease_was_taken_over_can_write_nothing(database: Any) -> None:
    job_id = put(database, "processing", lease_seconds=-1)
    claim(job_id)
    assert not store().progress(job_id, TOKEN, percent=50, stage="late")
    assert not store().checkpoint(job_id, TOKEN, {"late": True})
    assert not store().complete(job_id, TOKEN, result={"late": True}, usage={})
    assert not store().fail(job_id, TOKEN, code="internal", message="late", retryable=False)
    assert not store().hand_back(job_id, TOKEN)
    assert read(job_id).result is None
    assert store().held([TOKEN, "mine"]) == {"mine": False}


@pytest.mark.parametrize(
    "fields",
    [
        {"attempts": 3},
        {"not_before": FUTURE},
        {"cancel_requested": datetime.now(UTC)},
        {"expires_at": datetime.now(UTC) - timedelta(seconds=1)},
    ],
    ids=["attempts used up", "too early", "to be cancelled", "expired unstarted"],
)
def test_a_job_that_may_not_start_is_not_claimed(fields: dict[str, Any], database: Any) -> None:
    job_id = put(database, **fields)
    assert claim(job_id) is None
    assert read(job_id).status is Status.QUEUED


def test_a_job_that_had_started_may_go_on_after_its_expiry(database: Any) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    assert claim(put(database, "retrying", attempts=1, started_at=past, expires_at=past)) is not None


def test_the_fifth_crash_leaves_nothing_to_claim(database: Any) -> None:
    assert claim(put(database, "processing", lease_seconds=-1, crashes=MOST_CRASHES - 1)) is None


def test_completing_records_the_result_its_effects_and_the_end_in_one_write(database: Any) -> None:
    job_id = put(database)
    claim(job_id)
    assert store().complete(job_id, "mine", result={"n": 1}, usage={"t": 2}, effects=[{"key": "k"}], related_jobs=["other"])
    job = read(job_id)
    assert (job.status, job.result, job.usage, job.effects, job.related_jobs, job.lease, job.progress.percent) == (
        Status.COMPLETED,
        {"n": 1},
        {"t": 2},
        [{"key": "k"}],
        ["other"],
        None,
        100,
    )
    assert job.finished_at is not None
    assert [entry["verb"] for entry in job.history] == ["claim", "complete"]


def test_a_retry_waits_for_its_time_and_keeps_the_attempt(database: Any) -> None:
    job_id = put(database)
    claim(job_id)
    store().retry_later(job_id, "mine", seconds=60, code="provider_unavailable", message="It is down.")
    job = read(job_id)
    assert (job.status, job.attempts, job.lease) == (Status.RETRYING, 1, None)
    assert job.not_before is not None
    assert job.error is not None
    assert job.error["code"] == "provider_unavailable"
    assert claim(job_id, "next") is None


@pytest.mark.parametrize("verb", ["park", "hand_back"])
def test_giving_a_job_up_gives_its_attempt_back_and_asks_for_a_new_message(verb: str, database: Any) -> None:
    job_id = put(database)
    claim(job_id)
    if verb == "park":
        store().park(job_id, "mine", reason="user_cap", seconds=None)
    else:
        store().hand_back(job_id, "mine")
    job = read(job_id)
    assert (job.status, job.attempts, job.message_id, job.dispatch["until"], job.lease) == (Status.QUEUED, 0, None, None, None)


def test_a_job_asked_to_cancel_is_cancelled_by_whoever_gives_it_up(database: Any) -> None:
    job_id = put(database)
    claim(job_id)
    asked = store().request_cancel(job_id, "ada")
    assert asked is not None
    assert asked.status is Status.PROCESSING
    assert store().held(["mine"]) == {"mine": True}
    assert store().retry_later(job_id, "mine", seconds=1, code="internal", message="m")
    job = read(job_id)
    assert job.status is Status.CANCELLED
    assert job.error is not None
    assert job.error["code"] == "cancelled"


def test_another_users_job_can_be_neither_read_nor_cancelled(database: Any) -> None:
    job_id = put(database)
    assert store().get(job_id, "mallory") is None
    assert store().request_cancel(job_id, "mallory") is None


def test_progress_never_falls(database: Any) -> None:
    job_id = put(database)
    claim(job_id)
    store().progress(job_id, "mine", percent=60, stage="Half way")
    store().progress(job_id, "mine", percent=30, stage="Again")
    assert read(job_id).progress.percent == 60


def test_values_that_look_like_fields_stay_texts(database: Any) -> None:
    made = document(payload={"topic": "$user_id", "$where": {"a.b": "$$NOW"}})
    made.pop("created_at")
    job = store().insert(made, by="$me")
    assert job.payload == {"topic": "$user_id", "$where": {"a.b": "$$NOW"}}
    claim(job.id)
    store().progress(job.id, "mine", percent=1, stage="$user_id")
    assert read(job.id).progress.stage == "$user_id"


def test_inserting_a_job_again_leaves_it_as_it_is(database: Any) -> None:
    made = document()
    store().insert(made, by="first")
    claim(made["_id"])
    assert store().insert(made, by="second").status is Status.PROCESSING
    assert store().insert_many([made], by="third")[0].dispatch["by"] == "first"


def test_a_message_is_named_only_for_the_dispatch_that_sent_it_and_before_the_claim(database: Any) -> None:
    fresh, redispatched, claimed = put(database), put(database, dispatch={"n": 2}), put(database)
    claim(claimed)
    store().mark_sent({fresh: "m", redispatched: "m", claimed: "m"}, n=1)
    assert [read(job_id).message_id for job_id in (fresh, redispatched, claimed)] == ["m", None, "message-1"]


@pytest.mark.parametrize("verb", ["park", "hand_back", "let_go", "forget"])
def test_a_message_that_its_job_has_let_go_is_not_named_any_more(verb: str, database: Any) -> None:
    job_id = put(database)
    claim(job_id)
    verbs: dict[str, Callable[[], object]] = {
        "park": lambda: store().park(job_id, "mine", reason="rate_limit", seconds=5),
        "hand_back": lambda: store().hand_back(job_id, "mine"),
        "let_go": lambda: store().retry_later(job_id, "mine", seconds=5, code="c", message="m", keeps_message=False),
        "forget": lambda: (
            store().retry_later(job_id, "mine", seconds=5, code="c", message="m")
            and store().forget_message(job_id, "message-1")
        ),
    }
    assert verbs[verb]()
    store().mark_sent({job_id: "message-1"}, n=1)  # the name comes late, from a process that answers users
    assert read(job_id).message_id is None


def test_a_message_that_its_job_keeps_for_a_retry_is_named_still(database: Any) -> None:
    job_id = put(database)
    claim(job_id)
    store().retry_later(job_id, "mine", seconds=5, code="c", message="m")
    store().mark_sent({job_id: "message-1"}, n=1)
    assert read(job_id).message_id == "message-1"


def test_requeueing_starts_a_job_over(database: Any) -> None:
    job_id = put(database, "failed", attempts=3, crashes=2, cancel_requested=datetime.now(UTC), error={"code": "internal"})
    job = store().requeue(job_id, by="operator")
    assert job is not None
    assert (job.status, job.attempts, job.crashes, job.error, job.finished_at, job.cancel_requested) == (
        Status.QUEUED,
        0,
        0,
        None,
        None,
        None,
    )
    assert (job.dispatch["n"], job.dispatch["by"]) == (2, "operator")


@pytest.mark.parametrize(
    "broken",
    [
        document("completed", finished_at=None),
        document("queued", finished_at=datetime.now(UTC)),
        document("processing", lease=None),
        document("queued", lease={"token": "t"}),
        document("queued") | {"status": "asleep"},
    ],
    ids=["final without an end", "open with an end", "processing without a lease", "waiting with a lease", "no such status"],
)
def test_the_database_itself_refuses_a_document_that_contradicts_itself(broken: dict[str, Any], database: Any) -> None:
    store().get("ada")  # makes the collection
    with pytest.raises(WriteError):
        database.jobs.insert_one(broken)
