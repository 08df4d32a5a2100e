"""One line for each request; the id in the answer finds it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from web import create_app

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(environment: Any, capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """The log's lines since the last look: those of requests, whatever threads of earlier tests say meanwhile."""
    environment(LOG_FORMAT="json")
    before = logging.getLogger().handlers[:]
    yield lambda: [line for line in map(json.loads, capsys.readouterr().err.splitlines()) if "request_id" in line]
    logging.getLogger().handlers[:] = before


def test_a_request_is_one_line_found_by_the_id_of_its_answer(lines: Lines) -> None:
    answer = create_app().test_client().get("/healthz")
    assert lines() == [], "nobody waits for the line"
    answer.close()
    (line,) = lines()
    assert (line["method"], line["path"], line["status"]) == ("GET", "/healthz", 200)
    assert line["ms"] >= 0
    assert line["request_id"] == answer.headers["X-Request-Id"]


def test_a_senders_id_is_kept_where_it_can_be_logged(lines: Lines) -> None:
    client = create_app().test_client()
    kept = client.get("/healthz", headers={"X-Request-Id": "abc-1.2_3"}).headers["X-Request-Id"]
    made = client.get("/healthz", headers={"X-Request-Id": "a b\tc" * 30}).headers["X-Request-Id"]
    assert kept == "abc-1.2_3"
    assert re.fullmatch("[0-9a-f]{32}", made)


def test_a_path_with_line_ends_is_still_one_line(lines: Lines) -> None:
    create_app().test_client().get("/a%0Alevel=error").close()
    (line,) = lines()
    assert line["path"] == "/a%0Alevel%3Derror"


def test_lines_of_a_request_name_its_job_and_the_next_requests_lines_do_not(lines: Lines, database: Any, queues: Any) -> None:
    client = create_app().test_client()
    with client.post("/api/content/generate", json={"topic": "Bees"}) as answer:
        job_id = answer.get_json()["jobId"]
    client.get("/healthz").close()
    requests = [line for line in lines() if line["event"] == "request"]
    assert [line.get("job_id") for line in requests] == [job_id, None]
