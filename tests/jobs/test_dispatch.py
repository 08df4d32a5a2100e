"""Who may send a job's message, and which jobs need one, against a real MongoDB."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.database import database as own_database
from jobs.dispatch import Dispatches, dispatches
from jobs.document import Job
from jobs.life import Status
from jobs.overdue import Overdue
from jobs.pace import Pace
from jobs.store import store
from tests.jobs.jobs import TOKEN, document
from tests.jobs.waiting import FREE, FUTURE, PAST, put, read

TAKEN = {"n": 3, "by": "other", "until": FUTURE, "at": PAST}
LAPSED = {"n": 3, "by": "other", "until": PAST, "at": PAST}
PARKED = {"reason": "provider_outage", "until": PAST}


def take(*jobs: Job) -> list[Job]:
    return dispatches().take(jobs, "me")


def test_a_dispatch_that_is_taken_is_the_takers_for_a_time(database: Any) -> None:
    (job,) = take(put(database, not_before=PAST, waiting_for=PARKED))
    assert (job.dispatch["n"], job.dispatch["by"].split("/")[0]) == (1, "me")
    assert job.dispatch["until"] - job.dispatch["at"] == timedelta(seconds=10)
    assert (job.waiting_for, job.not_before, job.message_id) == (None, None, None)


@pytest.mark.parametrize(("before", "after"), [("scheduled", "queued"), ("queued", "queued"), ("retrying", "retrying")])
def test_what_is_taken_waits_for_a_worker(before: str, after: str, database: Any) -> None:
    (job,) = take(put(database, before, not_before=PAST))
    assert job.status.value == after


def test_of_many_takers_at_once_one_gets_the_job(database: Any) -> None:
    jobs = [put(database) for _ in range(5)]
    with ThreadPoolExecutor(8) as pool:
        won = [job.id for taken in pool.map(lambda _: take(*jobs), range(8)) for job in taken]
    assert sorted(won) == sorted(job.id for job in jobs)


@pytest.mark.parametrize(
    "fields",
    [{"not_before": FUTURE}, {"dispatch": TAKEN}, {"status": "processing"}, {"status": "cancelled"}],
    ids=["too early", "taken by somebody", "running", "over"],
)
def test_what_need_not_be_sent_is_not_taken(fields: dict[str, Any], database: Any) -> None:
    job = put(database, fields.pop("status", "queued"), **fields)
    assert take(job) == []
    assert read(job.id) == job


def test_a_job_that_changed_since_it_was_read_is_not_taken(database: Any) -> None:
    sent, redispatched = put(database), put(database)
    database.jobs.update_one({"_id": sent.id}, {"$set": {"message_id": "m"}})
    database.jobs.update_one({"_id": redispatched.id}, {"$set": {"dispatch": LAPSED}})
    assert take(sent, redispatched) == []


def test_taking_a_sent_job_forgets_its_message_and_counts(database: Any) -> None:
    job = put(database, message_id="lost", dispatch=LAPSED)
    (taken,) = take(job)
    assert (taken.message_id, taken.dispatch["again"]) == (None, 1)


UNSENT: dict[str, tuple[str, dict[str, Any]]] = {
    "never sent": ("queued", {}),
    "its sender died": ("queued", {"dispatch": LAPSED}),
    "a retry without a message": ("retrying", {"not_before": PAST}),
    "parked and due": ("queued", {"not_before": PAST, "waiting_for": PARKED}),
    "scheduled and due": ("scheduled", {"not_before": PAST}),
}
NOT_UNSENT: dict[str, tuple[str, dict[str, Any]]] = {
    "has a message": ("queued", {"message_id": "m"}),
    "being sent": ("queued", {"dispatch": TAKEN}),
    "parked": ("queued", {"not_before": FUTURE, "waiting_for": PARKED}),
    "scheduled": ("scheduled", {"not_before": FUTURE}),
    "waits for its user's place": ("queued", {"waiting_for": {"reason": "user_cap", "until": None}}),
    "running": ("processing", {}),
    "over": ("completed", {}),
    "another kind's": ("queued", {"kind": "images"}),
}


@pytest.mark.parametrize(("status", "fields"), UNSENT.values(), ids=UNSENT)
def test_a_due_job_without_a_message_is_found(status: str, fields: dict[str, Any], database: Any) -> None:
    job = put(database, status, **fields)
    assert dispatches().unsent("articles", 10) == [job]
    assert take(job)


@pytest.mark.parametrize(("status", "fields"), NOT_UNSENT.values(), ids=NOT_UNSENT)
def test_other_jobs_are_not(status: str, fields: dict[str, Any], database: Any) -> None:
    put(database, status, **fields)
    assert dispatches().unsent("articles", 10) == []


def test_high_priority_comes_first_and_then_who_waits_longest(database: Any) -> None:
    now = datetime.now(UTC)
    late, early = (put(database, created_at=now - timedelta(seconds=age)).id for age in (1, 2))
    urgent = put(database, priority="high").id
    assert [job.id for job in dispatches().unsent("articles", 10)] == [urgent, early, late]


def minutes_ago(minutes: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("again", "heard", "is_silent"),
    [
        (0, 9, False),
        (0, 11, True),
        (1, 19, False),
        (1, 21, True),
        (2, 39, False),
        (2, 41, True),
        (40, 355, False),
        (40, 365, True),
    ],
)
def test_silence_is_suffered_twice_as_long_after_each_send(again: int, heard: float, is_silent: bool, database: Any) -> None:
    at = minutes_ago(heard)
    job = put(database, message_id="m", dispatch={"n": 1, "by": "x", "until": at, "at": at, "again": again})
    assert dispatches().silent("articles", 10) == ([job] if is_silent else [])


def test_a_retry_is_not_silent_until_its_time_is_long_over(database: Any) -> None:
    at = minutes_ago(60)
    dispatch = {"n": 1, "by": "x", "until": at, "at": at}
    put(database, "retrying", message_id="m", dispatch=dispatch, not_before=minutes_ago(5))
    put(database, "retrying", message_id="m", dispatch=dispatch, not_before=FUTURE)
    overdue = put(database, "retrying", message_id="m", dispatch=dispatch, not_before=minutes_ago(11))
    assert dispatches().silent("articles", 10) == [overdue]


def test_a_claim_starts_the_count_of_sends_anew(database: Any) -> None:
    job = put(database, message_id="m", dispatch=LAPSED | {"again": 4})
    store().claim(job.id, kind="articles", token=TOKEN, worker="w", message_id="m")
    store().hand_back(job.id, TOKEN)
    assert read(job.id).dispatch["again"] == 0


def test_open_jobs_that_name_a_message_are_counted(database: Any) -> None:
    for status in ("queued", "retrying", "processing", "completed"):
        put(database, status, message_id="m")
    put(database)
    put(database, message_id="m", kind="images")
    assert dispatches().count_sent("articles") == 3


def test_every_query_is_served_by_an_index(database: Any) -> None:
    store().get("ada")  # makes the indexes
    crowd: list[dict[str, Any]] = []
    for n in range(600):
        user = f"user-{n % 50}"
        crowd += [
            document("queued", user_id=user, message_id="m"),
            document("completed", user_id=user, message_id="m", expires_at=PAST),
            document("queued", user_id=user, dispatch=FREE, waiting_for={"reason": "user_cap", "until": None}),
            document("queued", user_id=user, dispatch=FREE, waiting_for={"reason": "rate_limit"}, not_before=FUTURE),
            document("scheduled", user_id=user, dispatch=FREE, not_before=FUTURE, expires_at=FUTURE),
            document("processing", user_id=user, message_id="m"),
        ]
    database.jobs.insert_many(crowd)
    due = [put(database).id, put(database, "retrying", not_before=PAST).id]
    lost = put(database, message_id="m", dispatch=LAPSED).id
    late = put(database, "processing", lease_seconds=-100).id
    unstarted = put(database, message_id="x", dispatch=TAKEN, expires_at=PAST).id
    pending = put(database, "failed", effects=[{"key": "k", "does": "d"}], finished_at=PAST).id
    ask, overdue = dispatches(), Overdue(own_database(), Pace.of(30))
    database.command("profile", 2)
    try:
        assert [job.id for job in ask.unsent("articles", 100)] == due
        assert [job.id for job in ask.silent("articles", 100)] == [lost]
        assert [job.id for job in ask.longest_sent("articles", 1)] == [lost]
        assert overdue.leases("articles", 100) == [late]
        assert overdue.unstarted("articles", 100) == [unstarted]
        assert [job.id for job in overdue.effects("articles", 100)] == [pending]
        assert len(ask.users_waiting()) == 50
        assert len(ask.waiting_for_place("user-1", 3)) == 3
        assert ask.free_places("user-1", 5) == 0
        assert ask.free_places("user-1", 5, besides=["another"]) == 0
        assert ask.first_taken("user-1", 5) == []
        asked = list(database["system.profile"].find({"ns": f"{database.name}.jobs", "planSummary": {"$exists": True}}))
    finally:
        database.command("profile", 0)
        database["system.profile"].drop()
    assert len(asked) >= 10
    for each in asked:
        assert "COLLSCAN" not in each["planSummary"], each
        assert not each.get("hasSortStage"), each
        assert each["keysExamined"] <= 120, each  # of 3,600


def test_counting_what_is_sent_reads_no_documents(database: Any) -> None:
    store().get("ada")  # makes the indexes
    database.jobs.insert_many([document("queued", message_id="m") for _ in range(100)])
    database.command("profile", 2)
    try:
        assert dispatches().count_sent("articles") == 100
        (asked,) = database["system.profile"].find({"command.aggregate": "jobs", "planSummary": {"$exists": True}})
    finally:
        database.command("profile", 0)
        database["system.profile"].drop()
    assert ("IXSCAN" in asked["planSummary"], asked["docsExamined"]) == (True, 0)


def test_a_job_waits_for_a_place_only_while_its_dispatch_is_ours(database: Any) -> None:
    ours, claimed = take(put(database, "retrying"), put(database))
    store().claim(claimed.id, kind="articles", token=TOKEN, worker="w", message_id="m")
    dispatches().wait_for_place([ours, claimed])
    job = read(ours.id)
    assert (job.status, job.waiting_for) == (Status.RETRYING, {"reason": "user_cap", "until": None})
    assert (job.dispatch["by"], job.dispatch["until"]) == (None, None)
    assert read(claimed.id).waiting_for is None


def test_another_pace_is_another_patience(database: Any) -> None:
    job = put(database, message_id="m", dispatch=LAPSED | {"at": minutes_ago(1)})
    assert dispatches().silent("articles", 10) == []
    assert Dispatches(own_database(), Pace.of(1)).silent("articles", 10) == [job]
