"""What the API says about when a job starts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.jobs.jobs import document

ORDER = {"type": "articles", "payload": {"topic": "Bees"}}


@pytest.fixture
def line(client: FlaskClient, database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six jobs that wait, and thirty that ended in the last five minutes: one in ten seconds. MongoDB may count at leisure."""
    monkeypatch.setattr("jobs.forecast.MOST_MILLISECONDS", 60_000)
    earlier = datetime.now(UTC) - timedelta(seconds=60)
    client.get("/api/jobs")  # the indexes are made
    database.jobs.insert_many(document(created_at=earlier) for _ in range(6))
    database.jobs.insert_many(document("completed", finished_at=earlier) for _ in range(30))


def test_who_orders_a_job_learns_its_place_and_about_when_it_starts(client: FlaskClient, line: None) -> None:
    ordered = client.post("/api/jobs", json=ORDER).get_json()
    assert (ordered["position"], ordered["startsIn"]) == (6, 60)
    asked = client.get(f"/api/jobs/{ordered['jobId']}").get_json()
    assert (asked["position"], asked["startsIn"]) == (6, 60)


def test_the_place_gets_better_as_others_start(client: FlaskClient, database: Any, line: None) -> None:
    ordered = client.post("/api/jobs", json=ORDER).get_json()
    database.jobs.delete_many({"status": "queued", "_id": {"$ne": ordered["jobId"]}})
    asked = client.get(f"/api/jobs/{ordered['jobId']}").get_json()
    assert (asked["position"], asked["startsIn"]) == (0, 0)


def test_a_job_that_is_over_has_no_place(client: FlaskClient, database: Any, line: None) -> None:
    ordered = client.post("/api/jobs", json=ORDER).get_json()
    client.post(f"/api/jobs/{ordered['jobId']}/cancel")
    asked = client.get(f"/api/jobs/{ordered['jobId']}").get_json()
    assert (asked["position"], asked["startsIn"]) == (None, None)
    again = client.post(f"/api/jobs/{ordered['jobId']}/retry").get_json()
    assert again["position"] == 6


def test_a_list_costs_no_count_for_each_job(client: FlaskClient, line: None) -> None:
    client.post("/api/jobs", json=ORDER)
    (job, *_) = client.get("/api/jobs").get_json()["jobs"]
    assert (job["position"], job["startsIn"]) == (None, None)
