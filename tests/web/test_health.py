"""Alive and ready, and which of the two services is not."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient

from tests.conftest import NOWHERE


def test_a_process_is_alive_whatever_it_needs_is_doing(lonely_client: FlaskClient) -> None:
    answer = lonely_client.get("/healthz")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok"})


def test_a_process_is_ready_when_mongodb_and_sqs_answer(client: FlaskClient) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok", "mongodb": "ok", "sqs": "ok"})


def test_mongodb_is_named_when_it_is_away(client: FlaskClient, environment: Any) -> None:
    environment(MONGODB_URI=f"mongodb://{NOWHERE}/")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert "MongoDB can't be reached" in answer.get_json()["detail"]
    assert "SQS" not in answer.get_json()["detail"]
    assert "Retry-After" in answer.headers


def test_sqs_is_named_when_it_is_away_without_its_address(client: FlaskClient, environment: Any) -> None:
    environment(AWS_ENDPOINT_URL=f"http://{NOWHERE}", AWS_ENDPOINT_URL_SQS=f"http://{NOWHERE}")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "SQS can't be reached" in answer.get_json()["detail"]
    assert "MongoDB" not in answer.get_json()["detail"]
    assert NOWHERE not in answer.text


def test_a_missing_queue_is_named(client: FlaskClient, environment: Any) -> None:
    environment(QUEUE_PREFIX="nobody-made-these-")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "no queue for articles" in answer.get_json()["detail"]
