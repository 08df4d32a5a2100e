"""Articles by the documents' endpoints."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from jobs.store import store
from jobs.submit import Order, submit
from queues.queue import queue_for
from tests.web.working import ARTICLE, claim, fail, finish_article
from web import create_app

ORDER = {"mode": "topic", "topic": "Fantasy Football Strategies", "wordCount": 1500, "tone": "Professional"}


def test_an_order_is_answered_with_its_job_which_is_recorded_and_sent(client: FlaskClient, database: Any) -> None:
    answer = client.post("/api/content/generate", json={**ORDER, "seoOptimization": True, "keywords": ["draft"]})
    assert answer.status_code == 202
    job_id = answer.get_json()["jobId"]
    assert answer.get_json() == {"success": True, "jobId": job_id, "message": "Job queued successfully"}
    assert answer.headers["Location"] == f"/api/jobs/{job_id}"
    stored = database.jobs.find_one({"_id": job_id})
    assert (stored["kind"], stored["status"], stored["user_id"]) == ("articles", "queued", "local")
    assert stored["payload"] == {
        "mode": "topic",
        "topic": "Fantasy Football Strategies",
        "keywords": ["draft"],
        "outline": [],
        "wordCount": 1500,
        "tone": "Professional",
        "seoOptimization": True,
        "includeImages": False,
        "language": "en",
    }
    (message,) = queue_for("articles").receive(10, visibility_seconds=30, wait_seconds=0)
    assert json.loads(message.body)["jobId"] == job_id


def test_each_topic_becomes_a_job_of_its_own_in_order(client: FlaskClient, database: Any) -> None:
    topics = [f"Topic {n}" for n in range(100)]
    answer = client.post("/api/content/generate", json={"topics": topics, "wordCount": 60})
    assert answer.status_code == 202
    assert answer.get_json()["message"] == "100 jobs queued successfully"
    stored = {job["_id"]: job for job in database.jobs.find()}
    assert [stored[job_id]["payload"]["topic"] for job_id in answer.get_json()["jobIds"]] == topics
    assert {job["payload"]["mode"] for job in stored.values()} == {"topic"}
    assert all(job["message_id"] for job in stored.values())


def test_unknown_fields_are_ignored_and_named_in_the_log(
    client: FlaskClient, environment: Any, capsys: pytest.CaptureFixture[str], database: Any
) -> None:
    environment(LOG_FORMAT="json")
    answer = create_app().test_client().post("/api/content/generate", json={**ORDER, "theme": "dark", "word_count": 3})
    assert answer.status_code == 202
    assert database.jobs.find_one()["payload"]["wordCount"] == 1500
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (warning,) = [line for line in lines if line["event"] == "unknown fields ignored"]
    assert (warning["level"], warning["fields"]) == ("warning", ["theme", "word_count"])


def test_a_waiting_job_is_shown_without_a_result(client: FlaskClient) -> None:
    job_id = client.post("/api/content/generate", json=ORDER).get_json()["jobId"]
    shown = client.get(f"/api/content/jobs/{job_id}").get_json()
    assert (shown["jobId"], shown["type"], shown["status"], shown["progress"]) == (job_id, "articles", "queued", 0)
    assert shown["message"] == "Waiting for a worker"
    assert (shown["error"], shown["result"], shown["startedAt"], shown["finishedAt"]) == (None, None, None, None)
    assert shown["createdAt"].endswith("Z")


def test_a_running_job_says_how_far_it_is(client: FlaskClient) -> None:
    job_id = client.post("/api/content/generate", json=ORDER).get_json()["jobId"]
    job = claim(job_id)
    assert job.lease
    store().progress(job_id, job.lease.token, percent=75, stage="Generating content…")
    shown = client.get(f"/api/content/jobs/{job_id}").get_json()
    assert (shown["status"], shown["progress"], shown["message"]) == ("processing", 75, "Generating content…")
    assert (shown["attempts"], shown["startedAt"] is not None) == (1, True)


def test_a_completed_job_is_shown_with_its_article(client: FlaskClient) -> None:
    job_id = client.post("/api/content/generate", json=ORDER).get_json()["jobId"]
    finish_article(job_id)
    shown = client.get(f"/api/content/jobs/{job_id}").get_json()
    assert (shown["status"], shown["progress"], shown["message"]) == ("completed", 100, "Done")
    content_id = shown["result"].pop("contentId")
    assert content_id
    assert shown["result"] == {"title": "Bees", "content": ARTICLE, "wordCount": 3}


def test_a_failed_job_says_why(client: FlaskClient) -> None:
    job_id = client.post("/api/content/generate", json=ORDER).get_json()["jobId"]
    fail(job_id)
    shown = client.get(f"/api/content/jobs/{job_id}").get_json()
    assert (shown["status"], shown["message"]) == ("failed", "No bees today.")
    assert shown["error"] == {"code": "provider_refused", "message": "No bees today."}


def test_another_users_job_is_not_there(signed_in: Any) -> None:
    client = signed_in("bob")
    job = submit(Order(kind="articles", payload={"mode": "topic", "topic": "Bees"}, user_id="ada"))
    answer = client.get(f"/api/content/jobs/{job.id}")
    assert answer.status_code == 404
    assert answer.get_json()["success"] is False
    assert answer.get_json()["detail"] == client.get("/api/content/jobs/nobody").get_json()["detail"]
