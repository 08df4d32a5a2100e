"""Cancelling a job and starting one over, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from jobs.life import FINAL, OPEN, Status
from jobs.roles import Role
from queues.queue import queue_for
from tests.conftest import NOWHERE
from tests.jobs.jobs import document
from tests.web.working import claim, fail, finish_article

USER = "local"
RETRIABLE = {Status.FAILED, Status.EXPIRED, Status.CANCELLED}


def job_in(database: Any, status: Status, **fields: Any) -> str:
    """The id of a job of ours in that state."""
    made = document(status, user_id=USER, **fields)
    database.jobs.insert_one(made)
    return str(made["_id"])


def sent_jobs() -> list[str]:
    """The jobs that messages in the queue of articles name; all messages are taken."""
    messages = queue_for("articles").receive(10, visibility_seconds=60, wait_seconds=0)
    return [json.loads(message.body)["jobId"] for message in messages]


@pytest.mark.parametrize("status", sorted(OPEN - {Status.PROCESSING}))
def test_a_job_that_nobody_runs_is_cancelled_at_once(client: FlaskClient, database: Any, status: Status) -> None:
    job_id = job_in(database, status)
    answer = client.post(f"/api/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/api/jobs/{job_id}")
    job = answer.get_json()
    assert (job["status"], job["error"]["code"]) == ("cancelled", "cancelled")
    assert job["finishedAt"]
    assert client.get(f"/api/jobs/{job_id}").get_json() == job


def test_a_running_job_is_asked_to_end_and_runs_on_till_its_worker_hears(client: FlaskClient, database: Any) -> None:
    job_id = job_in(database, Status.PROCESSING)
    for _ in range(2):  # asking again is no mistake
        answer = client.post(f"/api/jobs/{job_id}/cancel")
        assert (answer.status_code, answer.get_json()["status"]) == (202, "processing")
    stored = database.jobs.find_one({"_id": job_id})
    assert stored["cancel_requested"]
    assert stored["lease"]


@pytest.mark.parametrize("status", sorted(FINAL))
def test_a_job_that_is_over_can_not_be_cancelled(client: FlaskClient, database: Any, status: Status) -> None:
    job_id = job_in(database, status)
    before = database.jobs.find_one({"_id": job_id})
    answer = client.post(f"/api/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.mimetype) == (409, "application/problem+json")
    assert answer.get_json()["detail"] == f"The job is {status}; only a job that is not over can be cancelled."
    assert database.jobs.find_one({"_id": job_id}) == before


def test_a_failed_job_starts_over_and_is_sent(client: FlaskClient) -> None:
    job_id = client.post("/api/jobs", json={"type": "articles", "payload": {"topic": "Bees"}}).get_json()["jobId"]
    fail(job_id)
    assert sent_jobs() == [job_id]
    answer = client.post(f"/api/jobs/{job_id}/retry")
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/api/jobs/{job_id}")
    job = answer.get_json()
    assert (job["status"], job["attempts"], job["error"], job["finishedAt"]) == ("queued", 0, None, None)
    assert job["messageId"]
    assert client.get(f"/api/jobs/{job_id}").get_json() == job
    assert sent_jobs() == [job_id]
    finish_article(job_id)
    assert client.get(f"/api/jobs/{job_id}").get_json()["status"] == "completed"


@pytest.mark.parametrize("status", sorted(RETRIABLE))
def test_what_ended_without_a_result_can_be_retried(client: FlaskClient, database: Any, status: Status) -> None:
    job_id = job_in(database, status)
    assert client.post(f"/api/jobs/{job_id}/retry").status_code == 202
    assert claim(job_id).attempts == 1
    assert sent_jobs() == [job_id]


@pytest.mark.parametrize("status", sorted(set(Status) - RETRIABLE))
def test_any_other_job_can_not_be_retried(client: FlaskClient, database: Any, status: Status) -> None:
    job_id = job_in(database, status)
    answer = client.post(f"/api/jobs/{job_id}/retry")
    assert answer.status_code == 409
    rule = "only a job that is failed, expired or cancelled can be retried"
    assert answer.get_json()["detail"] == f"The job is {status}; {rule}."
    assert sent_jobs() == []


def test_who_has_as_many_open_jobs_as_he_may_starts_none_over(
    client: FlaskClient, database: Any, environment: Callable[..., None]
) -> None:
    environment(USER_ACTIVE_JOBS="1")
    failed, other = job_in(database, Status.FAILED), job_in(database, Status.QUEUED)
    assert client.post(f"/api/jobs/{failed}/retry").status_code == 429
    client.post(f"/api/jobs/{other}/cancel")
    assert client.post(f"/api/jobs/{failed}/retry").status_code == 202


def test_a_second_retry_finds_the_job_waiting(client: FlaskClient, database: Any) -> None:
    job_id = job_in(database, Status.FAILED)
    assert [client.post(f"/api/jobs/{job_id}/retry").status_code for _ in range(2)] == [202, 409]
    assert sent_jobs() == [job_id]


def test_with_sqs_away_a_retry_is_accepted_all_the_same(client: FlaskClient, database: Any, environment: Any) -> None:
    job_id = job_in(database, Status.FAILED)
    environment(AWS_ENDPOINT_URL=f"http://{NOWHERE}", AWS_ENDPOINT_URL_SQS=f"http://{NOWHERE}")
    answer = client.post(f"/api/jobs/{job_id}/retry")
    assert (answer.status_code, answer.get_json()["status"], answer.get_json()["messageId"]) == (202, "queued", None)


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_jobs_of_others_and_of_nobody_are_not_there(signed_in: Any, database: Any, verb: str) -> None:
    client = signed_in("bob")
    theirs = document(Status.FAILED if verb == "retry" else Status.QUEUED, user_id="ada")
    database.jobs.insert_one(theirs)
    for job_id in (theirs["_id"], "nobody"):
        answer = client.post(f"/api/jobs/{job_id}/{verb}")
        assert (answer.status_code, answer.get_json()["detail"]) == (404, "There is no such job.")
    assert database.jobs.find_one({"_id": theirs["_id"]})["version"] == 1


@pytest.mark.parametrize("path", ["/api/jobs", "/jobs"])
def test_an_operator_may_act_upon_anothers_job_and_its_history_names_him(signed_in: Any, database: Any, path: str) -> None:
    theirs = document(Status.FAILED, user_id="ada")
    database.jobs.insert_one(theirs)
    olga = signed_in("olga", Role.OPERATOR)
    for verb in ("retry", "cancel"):
        assert olga.post(f"{path}/{theirs['_id']}/{verb}").status_code < 400
    history = database.jobs.find_one({"_id": theirs["_id"]})["history"][-2:]
    assert [(entry["verb"], entry["by"]) for entry in history] == [("requeue", "olga"), ("request_cancel", "olga")]


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_with_mongodb_away_nothing_is_done_and_it_is_said(lonely_client: FlaskClient, verb: str) -> None:
    answer = lonely_client.post(f"/api/jobs/some/{verb}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("status", sorted(Status))
def test_a_job_names_the_ways_that_are_open_to_it(client: FlaskClient, database: Any, status: Status) -> None:
    job_id = job_in(database, status)
    links = client.get(f"/api/jobs/{job_id}").get_json()["links"]
    own = f"http://localhost/api/jobs/{job_id}"
    assert links["cancel"] == (f"{own}/cancel" if status in OPEN else None)
    assert links["retry"] == (f"{own}/retry" if status in RETRIABLE else None)
