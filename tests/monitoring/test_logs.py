"""Lines of log: ours and other libraries' in one form, as text or as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from structlog.dev import ConsoleRenderer

from monitoring.logs import EVENT_WIDTH, PLAIN
from settings import CHECKOUT

PROGRAM = """
import logging
import structlog
from monitoring.logs import configure_logging

configure_logging()
log = structlog.get_logger("ours")
with structlog.contextvars.bound_contextvars(job_id="j-1"):
    log.info("job started", worker="w-1")
    try:
        raise ValueError("it broke")
    except ValueError:
        log.exception("a task broke")
        logging.getLogger("theirs").exception("their %s broke", "library")
log.debug("nobody asked for this")
"""


def said(log_format: str) -> str:
    """What the program writes."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=CHECKOUT,
        env=os.environ | {"LOG_FORMAT": log_format},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr


def test_as_json_each_line_is_an_object_with_the_jobs_id_and_what_was_raised() -> None:
    ours, broken, theirs = map(json.loads, said("json").splitlines())
    assert (ours["event"], ours["level"], ours["logger"], ours["worker"]) == ("job started", "info", "ours", "w-1")
    assert (broken["event"], broken["level"]) == ("a task broke", "error")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("their library broke", "error", "theirs")
    assert {line["job_id"] for line in (ours, broken, theirs)} == {"j-1"}
    for line in (broken, theirs):
        assert line["exception"][0]["exc_value"] == "it broke"


def test_as_text_a_traceback_follows_its_line() -> None:
    first, *rest = said("text").splitlines()
    assert "job started" in first
    assert "job_id=j-1" in first
    assert [line for line in rest if line == "ValueError: it broke"] == ["ValueError: it broke"] * 2
    assert any("their library broke" in line for line in rest)
    assert "nobody asked" not in "".join(rest)


@pytest.mark.parametrize(
    "said",
    [
        {"event": "job started", "level": "info", "logger": "ours", "timestamp": "2026-12-01T09:00:00Z", "job_id": "j-1"},
        {
            "event": "x" * 50,
            "level": "warning",
            "logger": "ours",
            "reason": 'it\'s "away"',
            "kinds": ["a"],
            "n": 1,
            "left": None,
        },
        {"event": "", "level": "critical", "path": "a=b", "text": "two words", "empty": ""},
        {"event": {"no": "text"}, "level": "error"},
    ],
)
def test_a_plain_line_is_structlogs_own(said: dict[str, Any]) -> None:
    plain, theirs = ConsoleRenderer(columns=PLAIN), ConsoleRenderer(colors=False, pad_event_to=EVENT_WIDTH)
    assert plain(None, "info", said.copy()) == theirs(None, "info", said.copy())
