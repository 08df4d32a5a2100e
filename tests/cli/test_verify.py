"""`celery -A tasks verify` as its user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from queues.clients import sqs as sqs_client
from settings import CHECKOUT
from tests.workers import wait_for

END_SECONDS = 600


@pytest.fixture
def started(mongodb: str, sqs: str, tmp_path: Path) -> Iterator[Any]:
    """Starts the command with these words; its process, its output in files."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        command = [str(Path(sys.executable).with_name("celery")), "-A", "tasks", "verify", *words]
        environment = os.environ | {"TMPDIR": str(tmp_path)}
        with (tmp_path / "stdout").open("wb") as out, (tmp_path / "stderr").open("wb") as err:
            process = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=out, stderr=err, start_new_session=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def queues_left() -> list[str]:
    return sqs_client().list_queues(QueueNamePrefix=os.environ["QUEUE_PREFIX"] + "verify-").get("QueueUrls", [])


def databases_left(mongodb: str) -> list[str]:
    with MongoClient[dict[str, Any]](mongodb) as client:
        return [name for name in client.list_database_names() if name.startswith(f"{os.environ['MONGODB_DATABASE']}_verify_")]


def workers_of(directory: Path) -> list[int]:
    """The workers that the watchdog of a verification knows."""
    (entries,) = directory.glob("pressroom-verify-*/processes")
    return [int(pid) for role, pid in (line.split() for line in entries.read_text().splitlines()) if role == "app"]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_ends_with_a_balanced_ledger_and_leaves_nothing_behind(started: Any, mongodb: str, tmp_path: Path) -> None:
    assert started("--only", "plain", "--only", "unreadable").wait(END_SECONDS) == 0
    lines = (tmp_path / "stdout").read_text().splitlines()
    assert {line.partition("  ")[0] for line in lines[2:-1]} == {"plain jobs", "unreadable messages"}
    ended = "completed 36 + failed 0 + cancelled 0 + expired 0"
    assert lines[-1] == f"ledger  accepted 36 = {ended}; paid 31 = generations 31; in flight 0: balanced"
    assert (tmp_path / "stderr").read_text() == ""
    assert not queues_left()
    assert not databases_left(mongodb)
    assert [file.name for file in tmp_path.glob("pressroom-verify-*")] == []


@pytest.mark.long
def test_a_loss_shows_in_the_ledger_and_in_the_exit_code(started: Any, tmp_path: Path) -> None:
    assert started("--only", "expiry", "--only", "plain", "--inject-loss", "--json").wait(END_SECONDS) == 1
    said = json.loads((tmp_path / "stdout").read_text())
    ledger = said["ledger"]
    assert (ledger["balanced"], ledger["accepted"], ledger["completed"], ledger["expired"]) == (False, 37, 34, 2)
    assert ledger["faults"][0].startswith("accepted and gone: ")
    assert [scenario["did"] for scenario in said["scenarios"]][-1] == "1 job removed"
    assert said["stories"] == [f"{ledger['jobsAtFault'][0]}  there is no such job any more"]


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_removes_what_it_made(number: signal.Signals, started: Any, mongodb: str, tmp_path: Path) -> None:
    process = started("--long", "--only", "a job longer")  # it lasts until it is stopped
    wait_for(lambda: "scenario" in (tmp_path / "stdout").read_text() or process.poll() is not None, "the scenarios to begin")
    assert process.poll() is None, (tmp_path / "stderr").read_text()
    workers = workers_of(tmp_path)
    assert len(workers) >= 2
    assert queues_left()
    process.send_signal(number)
    assert process.wait(END_SECONDS) == 130
    assert "Traceback" not in (tmp_path / "stderr").read_text()
    assert not queues_left()
    assert not databases_left(mongodb)
    assert not [pid for pid in workers if is_running(pid)]


def test_a_scenario_that_is_none_is_refused_with_those_there_are(started: Any, tmp_path: Path) -> None:
    assert started("--only", "plagues").wait(END_SECONDS) == 2
    assert "no scenario 'plagues'; there are: plain jobs; " in (tmp_path / "stderr").read_text()


def test_without_mongodb_it_says_so_in_a_line(
    started: Any, environment: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MONGODB_URI", "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=500")
    assert started("--only", "plain").wait(END_SECONDS) == 2
    said = (tmp_path / "stderr").read_text()
    assert said.startswith("verify: ")
    assert "Traceback" not in said
    assert not queues_left()
