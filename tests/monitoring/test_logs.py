"""Lines of log: ours and other libraries' in one form, as text or as JSON."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from structlog.dev import ConsoleRenderer

from monitoring import gathered_lines
from monitoring.gathered_lines import GatheredLines
from monitoring.logs import EVENT_WIDTH, PLAIN
from settings import CHECKOUT
from tests.workers import wait_for

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


def said(log_format: str, program: str = PROGRAM) -> str:
    """What the program writes."""
    done = subprocess.run(
        [sys.executable, "-c", program],
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


GATHERING = PROGRAM.replace("configure_logging()", "configure_logging(gathers=True)")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_lines_that_are_gathered_are_the_same_in_the_same_order_and_none_is_lost_at_the_end(log_format: str) -> None:
    assert GATHERING != PROGRAM
    gathered, single = ([_without_time(line) for line in said(log_format, each).splitlines()] for each in (GATHERING, PROGRAM))
    assert gathered == single


def _without_time(line: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z|line \d+|\"lineno\": \d+", "", line)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setattr(gathered_lines, "GATHER_SECONDS", 3_600)  # nothing is written but what has to be
    return io.StringIO()


def record(message: Any, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("ours", level, "", 0, message, (), None)


def test_a_warning_is_written_at_once_after_the_lines_that_waited(written: io.StringIO) -> None:
    handler = GatheredLines(written)
    handler.emit(record("one"))
    handler.emit(record({"event": "two"}))
    assert written.getvalue() == ""
    handler.emit(record("three", logging.WARNING))
    assert written.getvalue() == "one\n{'event': 'two'}\nthree\n"


def test_a_line_is_written_soon_by_itself() -> None:
    written = io.StringIO()
    GatheredLines(written).emit(record({"event": "one"}))
    wait_for(lambda: written.getvalue(), "the line")
    assert written.getvalue() == "{'event': 'one'}\n"


def test_a_line_that_cannot_be_made_is_said_and_keeps_no_other_back(
    written: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    class Unprintable(dict[str, str]):
        def __str__(self) -> str:
            raise ValueError("it has no words")

    handler = GatheredLines(written)
    for message in ("one", Unprintable(), "two"):
        handler.emit(record(message))
    handler.flush()
    assert written.getvalue() == "one\ntwo\n"
    assert "it has no words" in capsys.readouterr().err
