"""Webhooks as their receivers see them at the API."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient

from jobs.effects import perform_pending_of
from jobs.webhook_log import webhook_log
from jobs.webhook_secrets import webhook_secret
from tests.web.working import finish_image

ORDER = {"type": "images", "payload": {"prompt": "Bees"}, "callbackUrl": "https://hook.example/jobs", "metadata": {"a": "b"}}


def submit(client: FlaskClient) -> str:
    answer = client.post("/api/jobs", json=ORDER)
    assert answer.status_code == 202
    return str(answer.get_json()["jobId"])


def test_a_webhook_carries_the_job_as_the_api_shows_it(client: FlaskClient, database: Any, environment: Any) -> None:
    environment(PUBLIC_URL="https://press.example")
    job_id = submit(client)
    finish_image(job_id)
    shown = client.get(f"/api/jobs/{job_id}").get_json()
    perform_pending_of(job_id)
    told = database.jobs.find_one({"kind": "webhooks"})["payload"]["data"]
    assert told == shown
    assert told["links"]["media"] == [f"https://press.example/api/jobs/{job_id}/media/image.png"]
    listed = {job["type"] for job in client.get("/api/jobs").get_json()["jobs"]}
    assert "images" in listed
    assert "webhooks" not in listed, "lists leave internal jobs out"


def test_a_users_secret_is_his_and_stays(client: FlaskClient) -> None:
    first, second = (client.get("/api/webhooks/secret") for _ in range(2))
    assert first.get_json() == second.get_json() == {"secret": webhook_secret("local")}
    assert first.get_json()["secret"].startswith("whsec_")
    assert first.headers["Cache-Control"] == "no-store"
    assert webhook_secret("grace") != webhook_secret("local")


def test_the_log_of_a_jobs_webhooks_is_told(client: FlaskClient) -> None:
    job_id = submit(client)
    assert client.get(f"/api/jobs/{job_id}/deliveries").get_json() == {"deliveries": []}
    tried = {"webhook_id": "w", "event": "job.completed", "seconds": 0.25}
    webhook_log().note(job_id, "local", attempt=1, status=None, error="It is away.", **tried)  # type: ignore[arg-type] # of several types
    webhook_log().note(job_id, "local", attempt=2, status=204, error=None, **tried)  # type: ignore[arg-type] # of several types
    first, second = client.get(f"/api/jobs/{job_id}/deliveries").get_json()["deliveries"]
    assert (first["attempt"], first["status"], first["error"]) == (1, None, "It is away.")
    assert (second["webhookId"], second["event"], second["status"], second["seconds"]) == ("w", "job.completed", 204, 0.25)
    assert client.get("/api/jobs/nothing/deliveries").status_code == 404
