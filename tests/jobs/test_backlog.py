"""What waits and what gets done, over a real MongoDB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs import backlog
from jobs.backlog import Backlog, backlogs
from jobs.database import database as jobs_database
from jobs.ending import cancel_open
from jobs.store import store
from tests.jobs.jobs import document


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def insert(*documents: dict[str, Any]) -> None:
    jobs_database().collection("jobs").insert_many(documents)


def test_what_could_start_is_counted_and_the_oldest_of_it_told(database: Any) -> None:
    insert(
        document("queued", created_at=ago(100)),
        document("retrying", created_at=ago(500), not_before=ago(30)),
        document("queued", created_at=ago(900), not_before=ago(-60)),  # too early
        document("queued", created_at=ago(900), waiting_for={"reason": "user_cap", "until": None}),
        document("scheduled", created_at=ago(900), not_before=ago(-900)),
        document("processing", created_at=ago(900)),
        document("queued", created_at=ago(900), kind="videos"),
        document("failed", created_at=ago(900)),
    )
    found = backlogs(["articles", "images"])
    of_articles = found["articles"]
    assert (of_articles.open, of_articles.scheduled, of_articles.processing, of_articles.startable) == (6, 1, 1, 2)
    assert of_articles.oldest_startable_seconds == pytest.approx(100, abs=30)
    assert found["images"] == Backlog()


def test_completions_are_those_of_the_last_five_minutes(database: Any) -> None:
    recent = [document("completed", finished_at=ago(60)) for _ in range(10)]
    insert(*recent, document("completed", finished_at=ago(400)), document("failed", finished_at=ago(60)))
    assert backlogs(["articles"])["articles"].completed_per_minute == 2


def test_the_time_to_clear_is_what_can_start_at_the_present_pace() -> None:
    assert Backlog(startable=30, completed_per_minute=10).clears_in_seconds == 180
    assert Backlog(startable=0, completed_per_minute=0).clears_in_seconds == 0
    assert Backlog(startable=1, completed_per_minute=0).clears_in_seconds is None


@pytest.mark.parametrize(
    ("stages", "index"),
    [
        (backlog._open(["articles"]), "kind_status"),
        (backlog._startable(["articles"]), "open_line"),
        (backlog._completed(["articles"]), "finished"),
    ],
    ids=["open", "startable", "completed"],
)
def test_few_or_no_jobs_are_read_for_it(database: Any, stages: list[Any], index: str) -> None:
    insert(*(document("queued") for _ in range(50)), *(document("completed", finished_at=ago(4_000)) for _ in range(50)))
    command = {"aggregate": "jobs", "pipeline": stages, "cursor": {}, "hint": index}
    explained = database.command("explain", command, verbosity="executionStats")
    told = explained.get("executionStats") or explained["stages"][0]["$cursor"]["executionStats"]
    assert told["totalDocsExamined"] == 0
    assert told["totalKeysExamined"] <= 50 + 5  # and one where each stretch of the index ends


def test_all_open_jobs_of_a_kind_can_be_cancelled(database: Any) -> None:
    waiting, running, other, done = document("queued"), document("processing"), document(kind="videos"), document("completed")
    insert(waiting, running, other, done)
    assert cancel_open("articles") == (1, 1)
    states = {
        name: job.status
        for name, made in (("waiting", waiting), ("other", other), ("done", done))
        if (job := store().get(made["_id"]))
    }
    assert states == {"waiting": "cancelled", "other": "queued", "done": "completed"}
    stopping = store().get(running["_id"])
    assert stopping is not None
    assert stopping.cancel_requested is not None
