"""`celery -A tasks relay` as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from settings import CHECKOUT
from tests.jobs.waiting import in_queue, put, read
from tests.workers import PATIENCE_SECONDS, wait_for

COMMAND = [str(Path(sys.executable).with_name("celery")), "-A", "tasks", "relay"]


def message_of(job_id: str) -> str | None:
    return read(job_id).message_id


def run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *options],
        cwd=CHECKOUT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_one_round_of_every_kind_and_its_report(database: Any, queues: Any) -> None:
    article, image = put(database), put(database, kind="images")
    ended = run("--once")
    assert (ended.returncode, ended.stdout) == (0, "sent 2\n"), ended.stderr
    assert (in_queue("articles"), in_queue("images")) == ({article.id: 1}, {image.id: 1})


def test_what_one_round_could_not_do_is_said_and_is_its_exit_status(database: Any, sqs: str) -> None:
    put(database)
    ended = run("--once", QUEUE_PREFIX="nowhere-")
    assert ended.returncode == 1
    assert "sending articles: nowhere-articles" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


def test_settings_that_cannot_be_used_are_a_sentence() -> None:
    ended = run(USER_RUNNING_JOBS="none")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-2:] == ["The relay can't start.", ended.stderr.splitlines()[-1]]
    assert "USER_RUNNING_JOBS='none'" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.long
@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_it_works_until_it_is_told_to_stop(told: signal.Signals, database: Any, queues: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(COMMAND, cwd=CHECKOUT, env=os.environ | {"LEASE_SECONDS": "2"}, stdout=file, stderr=file)
    try:
        for _ in range(2):
            job = put(database)
            wait_for(partial(message_of, job.id), "the job to be sent")
        process.send_signal(told)
        assert process.wait(PATIENCE_SECONDS) == 0
    finally:
        process.kill()
    assert log.read_text().count("sent=1") == 2
    assert "Traceback" not in log.read_text()


def test_the_commands_module_loads_next_to_nothing() -> None:
    heavy = {"boto3", "pymongo", "jobs", "queues", "providers"}
    program = f"import sys, cli.relay; print({heavy} & {{*sys.modules}})"
    answer = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"
