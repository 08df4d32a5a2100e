"""Who is answered: closed by default, and with sign-in off this machine only."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from web.identity import OPEN

GUARDED = ["/api/jobs", "/api/jobs/x", "/api/jobs/x/result", "/api/jobs/x/media/y", "/api/content/jobs/x", "/api/kinds"]
FREE = ["/healthz", "/openapi.json", "/docs"]


@pytest.mark.parametrize("path", GUARDED)
def test_without_auth_off_nobody_is_answered_and_is_told_how(lonely_client: FlaskClient, environment: Any, path: str) -> None:
    environment(AUTH=None)
    answer = lonely_client.get(path)
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
    assert "AUTH=off" in answer.get_json()["detail"]
    assert "WWW-Authenticate" in answer.headers


@pytest.mark.parametrize("path", ["/api/jobs", "/api/content/generate", "/api/media/generate"])
def test_without_auth_off_nothing_is_ordered(client: FlaskClient, database: Any, environment: Any, path: str) -> None:
    environment(AUTH=None)
    assert client.post(path, json={"topic": "Bees"}).status_code == 401
    assert database.jobs.count_documents({}) == 0


@pytest.mark.parametrize("peer", ["10.0.0.7", "192.168.1.2", "::ffff:10.0.0.7", "2001:db8::1", ""])
def test_with_sign_in_off_other_machines_are_not_answered(lonely_client: FlaskClient, peer: str) -> None:
    assert lonely_client.get("/api/kinds", environ_base={"REMOTE_ADDR": peer}).status_code == 403


@pytest.mark.parametrize("host", ["rebound.example", "127.0.0.1.example", "localhost.example:8000", "[2001:db8::1]:8000"])
def test_with_sign_in_off_a_page_that_names_us_otherwise_is_not_answered(lonely_client: FlaskClient, host: str) -> None:
    assert lonely_client.get("/api/kinds", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", "[::1]"])
def test_with_sign_in_off_this_machine_is_answered_by_any_of_its_names(lonely_client: FlaskClient, host: str) -> None:
    for peer in ("127.0.0.1", "::1"):
        answer = lonely_client.get("/api/kinds", headers={"Host": host}, environ_base={"REMOTE_ADDR": peer})
        assert answer.status_code == 200


@pytest.mark.parametrize("path", FREE)
def test_what_is_open_needs_no_user(lonely_client: FlaskClient, environment: Any, path: str) -> None:
    environment(AUTH=None)
    assert lonely_client.get(path, environ_base={"REMOTE_ADDR": "10.0.0.7"}).status_code == 200


def test_only_health_description_sign_in_and_the_pages_style_are_open() -> None:
    assert {"health", "openapi", "docs", "sessions", "static"} == OPEN
