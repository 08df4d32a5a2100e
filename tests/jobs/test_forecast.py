"""When a waiting job starts, over real documents."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest

from jobs import forecast
from jobs.database import database as jobs_database
from jobs.document import Job
from jobs.forecast import NOTHING, Forecast, forecasts
from jobs.pauses import pauses
from jobs.store import store
from jobs.workers import OwnDocument
from tests.conftest import NOWHERE
from tests.jobs.jobs import document


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def insert(*documents: dict[str, Any]) -> Job:
    """The job of the first of them."""
    jobs_database().collection("jobs").insert_many(documents)
    job = store().get(documents[0]["_id"])
    assert job is not None
    return job


@pytest.fixture(autouse=True)
def fresh(database: Any, environment: Callable[..., None]) -> None:
    """Rates that an earlier test has seen are forgotten."""
    environment()


def test_a_job_stands_behind_those_of_its_kind_and_lane_that_came_before_it_and_can_start() -> None:
    job = insert(
        document(created_at=ago(100)),
        document(created_at=ago(200)),
        document("retrying", created_at=ago(300), not_before=ago(10)),
        document("retrying", created_at=ago(300), not_before=ago(-60)),  # too early
        document(created_at=ago(300), waiting_for={"reason": "user_cap", "until": None}),
        document("processing", created_at=ago(300)),
        document("completed", created_at=ago(900), finished_at=ago(800)),
        document(created_at=ago(50)),  # after it
        document(created_at=ago(300), kind="images"),
        document(created_at=ago(300), priority="high"),
    )
    assert forecasts().of(job) == Forecast(position=2, starts_in_seconds=None)


def test_it_starts_when_those_before_it_have_had_their_turn_at_the_pace_of_the_last_minutes() -> None:
    job = insert(
        document(created_at=ago(100)),
        *(document(created_at=ago(200)) for _ in range(8)),
        *(document("completed", finished_at=ago(60)) for _ in range(20)),
        *(document("failed", finished_at=ago(60)) for _ in range(10)),
        *(document("completed", finished_at=ago(400)) for _ in range(10)),
        *(document("cancelled", finished_at=ago(60)) for _ in range(10)),
    )
    assert forecasts().of(job) == Forecast(position=8, starts_in_seconds=80)


def test_jobs_of_high_priority_are_waited_for_too_and_wait_for_no_others() -> None:
    normal, high = document(created_at=ago(100)), document(created_at=ago(50), priority="high")
    job = insert(
        normal,
        high,
        document(created_at=ago(20), priority="high"),
        *(document("completed", finished_at=ago(60)) for _ in range(30)),
    )
    assert forecasts().of(job) == Forecast(position=0, starts_in_seconds=20)
    urgent = store().get(high["_id"])
    assert urgent is not None
    assert forecasts().of(urgent) == Forecast(position=0, starts_in_seconds=0)


def worker_with(slots: int, *kinds: str) -> None:
    OwnDocument(f"w-{slots}@host").write(
        slots=slots, running=0, last_receive=dict.fromkeys(kinds, monotonic()), last_attempt={}
    )


def test_where_a_slot_is_free_it_starts_at_once_however_few_ended_lately() -> None:
    worker_with(4, "articles")
    job = insert(
        document(created_at=ago(1)),
        *(document(created_at=ago(2)) for _ in range(2)),
        document("processing"),
        document("completed", started_at=ago(72), finished_at=ago(60)),
    )
    assert forecasts().of(job) == Forecast(position=2, starts_in_seconds=0)


def test_a_fleet_that_was_idle_gets_on_as_fast_as_its_slots_turn() -> None:
    worker_with(4, "articles")
    worker_with(8, "articles", "images")  # four of them for each
    ended = ago(60)
    job = insert(
        document(created_at=ago(1)),
        *(document(created_at=ago(2)) for _ in range(15)),
        *(document("processing") for _ in range(8)),
        *(document("completed", started_at=ended - timedelta(seconds=12), finished_at=ended) for _ in range(3)),
    )
    assert forecasts().of(job) == Forecast(position=15, starts_in_seconds=24)  # sixteen turns of 12 s, eight at a time


def test_before_anything_has_ended_only_a_free_slot_says_when() -> None:
    worker_with(1, "articles")
    first, second = document(created_at=ago(2)), document(created_at=ago(1))
    insert(first, second)
    told = [forecasts().of(job) for job in (store().get(first["_id"]), store().get(second["_id"])) if job]
    assert told == [Forecast(position=0, starts_in_seconds=0), Forecast(position=1, starts_in_seconds=None)]


@pytest.mark.parametrize(
    "waiting",
    [
        document("scheduled", not_before=ago(-60)),
        document("processing"),
        document("retrying", not_before=ago(-60)),
        document("completed"),
        document(waiting_for={"reason": "provider_outage", "until": None}, not_before=ago(-60)),
        document(not_before=ago(-60)),
    ],
    ids=["scheduled", "processing", "retrying", "completed", "parked", "not due"],
)
def test_what_waits_for_something_else_than_its_turn_has_no_place_in_the_line(waiting: dict[str, Any]) -> None:
    job = insert(waiting, *(document("completed", finished_at=ago(60)) for _ in range(30)))
    assert forecasts().of(job) == NOTHING


def test_while_the_queue_is_paused_nobody_knows_when() -> None:
    job = insert(document(), *(document("completed", finished_at=ago(60)) for _ in range(30)))
    pauses().pause("articles", "the disk is full", by="ada")
    assert forecasts().of(job) == Forecast(position=0, starts_in_seconds=None)


def test_a_line_too_long_to_be_counted_has_no_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "MOST_BEFORE", 5)
    job = insert(document(created_at=ago(100)), *(document(created_at=ago(200)) for _ in range(5)))
    assert forecasts().of(job) == NOTHING


def test_with_mongodb_away_there_is_no_forecast(environment: Callable[..., None]) -> None:
    job = insert(document())
    environment(MONGODB_URI=f"mongodb://{NOWHERE}/?serverSelectionTimeoutMS=200")
    assert forecasts().of(job) == NOTHING


def test_counting_the_line_reads_no_job_and_no_key_behind_this_one(database: Any) -> None:
    job = insert(
        document(created_at=ago(100)),
        *(document(created_at=ago(200)) for _ in range(20)),
        *(document(created_at=ago(50)) for _ in range(300)),
        *(document("completed", finished_at=ago(4_000)) for _ in range(300)),
    )
    assert examined(database, forecast.startable("articles", "normal", before=job), "open_line") <= 23
    assert examined(database, forecast.startable("articles", "normal"), "open_line") <= 323
    assert examined(database, forecast.ended_lately("articles"), "finished") <= 3
    assert examined(database, forecast.running("articles"), "kind_status") <= 1


def examined(database: Any, stages: list[Any], index: str) -> int:
    command = {"aggregate": "jobs", "pipeline": stages, "cursor": {}, "hint": index}
    explained = database.command("explain", command, verbosity="executionStats")
    told = explained.get("executionStats") or explained["stages"][0]["$cursor"]["executionStats"]
    assert told["totalDocsExamined"] == 0
    keys: int = told["totalKeysExamined"]
    return keys


def test_a_line_is_counted_once_a_second_for_all_that_join_it(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(forecast, "monotonic", lambda: clock[0])
    first = insert(document(created_at=ago(1)), document(created_at=ago(2)))
    assert forecasts().of_new(first) == Forecast(position=1)
    database.jobs.delete_many({"_id": {"$ne": first.id}})  # nobody looks
    assert forecasts().of_new(insert(document())) == Forecast(position=2)
    assert forecasts().of_new(insert(document(priority="high"))) == Forecast(position=0)
    assert forecasts().of_new(insert(document(waiting_for={"reason": "user_cap", "until": None}))) == NOTHING
    clock[0] += forecast.LINE_HOLDS_SECONDS
    assert forecasts().of_new(insert(document())) == Forecast(position=2)
