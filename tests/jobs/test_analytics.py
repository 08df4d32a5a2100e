"""Batches of events, each counted once, in the hours in which they happened."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.analytics import Analytics, Count, Happening, analytics
from jobs.database import Database
from jobs.document import Job
from jobs.store import store
from settings import settings
from tests.jobs.jobs import document

HOUR = datetime(2026, 1, 15, 10, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return HOUR + timedelta(minutes=minutes)


def running(database: Any, **fields: Any) -> Job:
    made = document("processing", kind="analytics", **fields)
    database.jobs.insert_one(made)
    job = store().get(made["_id"])
    assert job is not None
    return job


def views(subject: str, *minutes: float) -> list[Happening]:
    return [Happening("article_view", subject, at(each)) for each in minutes]


def asked(user_id: str | None = "ada", *, by: Any = "hour", days: int = 2, **wanted: Any) -> list[tuple[datetime, str, int]]:
    start = HOUR.replace(hour=0)
    found = analytics().counts(user_id, since=start, until=start + timedelta(days=days), by=by, **wanted)
    assert all(isinstance(each, Count) for each in found)
    return [(each.at, each.event, each.n) for each in found]


def test_events_count_in_their_hours_by_subject_and_together(database: Any) -> None:
    played = Happening("video_play", "waves", at(59))
    analytics().enter(running(database), [*views("bees", 0, 59.9, 60, -1), *views("wasps", 5), played])
    assert asked() == [
        (at(-60), "article_view", 1),
        (HOUR, "article_view", 3),
        (HOUR, "video_play", 1),
        (at(60), "article_view", 1),
    ]
    assert asked(event="article_view", subject="bees", by="day") == [(HOUR.replace(hour=0), "article_view", 4)]
    assert asked(subject="waves") == [(HOUR, "video_play", 1)]


def test_counts_are_their_users_and_all_together(database: Any) -> None:
    for user_id in ("ada", "grace"):
        analytics().enter(running(database, user_id=user_id), views("bees", 1, 2))
    assert asked("ada") == asked("grace") == [(HOUR, "article_view", 2)]
    assert asked("mary") == []
    assert asked(None) == asked(None, subject="bees") == [(HOUR, "article_view", 4)]


def test_a_batch_is_counted_once_however_often_it_comes(database: Any) -> None:
    job = running(database)
    for _ in range(3):
        analytics().enter(job, views("bees", 1))
    analytics().enter(running(database), views("bees", 1))
    assert asked() == [(HOUR, "article_view", 2)]


def test_a_batch_that_was_counted_in_part_is_counted_to_its_end(database: Any) -> None:
    job = running(database)
    analytics().enter(job, [*views("bees", 1), *views("wasps", 2)])
    database.analytics.delete_many({"subject": "wasps"})  # as if the worker had died before this write
    analytics().enter(job, [*views("bees", 1), *views("wasps", 2)])
    assert asked(subject="bees") == asked(subject="wasps") == [(HOUR, "article_view", 1)]
    assert asked() == [(HOUR, "article_view", 2)]


def test_processes_that_count_in_the_same_hour_lose_nothing(database: Any) -> None:
    """Each thread has a connection of its own, as a process has."""
    jobs = [running(database) for _ in range(24)]

    def count(some: list[Job]) -> None:
        own = Analytics(Database(settings().mongodb_uri, settings().mongodb_database))
        for job in some:
            own.enter(job, views(f"page-{jobs.index(job) % 3}", 1, 2))

    with ThreadPoolExecutor(4) as processes:
        list(processes.map(count, [jobs[place::4] for place in range(4)]))
    assert asked() == [(HOUR, "article_view", 48)]
    assert asked(subject="page-1") == [(HOUR, "article_view", 16)]
