"""`celery -A tasks relay`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.relay import relay
from settings import CHECKOUT
from tests.jobs.waiting import in_queue, put, read
from tests.workers import PATIENCE_SECONDS, wait_for

COMMAND = [str(Path(sys.executable).with_name("celery")), "-A", "tasks", "relay"]


def message_of(job_id: str) -> str | None:
    return read(job_id).message_id


def one_round() -> Result:
    return CliRunner().invoke(relay, ["--once"])


def test_one_round_of_every_kind_and_its_report(database: Any, queues: Any) -> None:
    article, image = put(database), put(database, kind="images")
    ended = one_round()
    assert (ended.exit_code, ended.stdout) == (0, "sent 2\n"), ended.output
    assert (in_queue("articles"), in_queue("images")) == ({article.id: 1}, {image.id: 1})


def test_what_one_round_could_not_do_is_said_and_is_its_exit_status(database: Any, sqs: str, environment: Any) -> None:
    environment(QUEUE_PREFIX="nowhere-")
    put(database)
    ended = one_round()
    assert ended.exit_code == 1
    assert "sending articles: nowhere-articles" in ended.stdout
    assert "Traceback" not in ended.output


def test_settings_that_cannot_be_used_are_a_sentence() -> None:
    wrong = os.environ | {"USER_RUNNING_JOBS": "none"}
    ended = subprocess.run(COMMAND, cwd=CHECKOUT, env=wrong, capture_output=True, text=True, check=False)
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
