"""Real Celery workers, in processes of their own, as the Procfile starts them; and waiting for what they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import pytest

from jobs.document import Job
from jobs.life import FINAL
from jobs.store import store
from settings import CHECKOUT

PATIENCE_SECONDS = 120
"""For what comes within a second or two on a machine that has nothing else to do."""

T = TypeVar("T")


class Worker:
    """`celery -A tasks worker -Q …` (or another app's) in the environment of the test; its log is a file."""

    def __init__(
        self, log_file: Path, *queues: str, app: str = "tasks", options: tuple[str, ...] = (), **variables: str
    ) -> None:
        self.log_file = log_file
        celery = str(Path(sys.executable).with_name("celery"))
        with log_file.open("ab") as log:
            self._begins_at = log.tell()  # what stands before is another worker's
            self.process = subprocess.Popen(
                [celery, "-A", app, "worker", "-Q", ",".join(queues), *options],
                cwd=CHECKOUT,
                env=os.environ | {"LOG_FORMAT": "json"} | variables,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def wait_until_ready(self) -> Worker:
        wait_for(lambda: self._is_ready() or self.process.poll() is not None, "the worker to be ready", self)
        if self.process.poll() is not None:
            pytest.fail(f"the worker ended with {self.process.returncode}:\n{self.log}")
        return self

    def _is_ready(self) -> bool:
        with self.log_file.open("rb") as log:
            log.seek(self._begins_at)
            return b" ready." in log.read()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(PATIENCE_SECONDS)

    def __enter__(self) -> Worker:
        return self.wait_until_ready()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f"the worker did not stop:\n{self.log}")


def wait_for(
    condition: Callable[[], T | None], what: str, worker: Worker | None = None, *, patience_seconds: float = PATIENCE_SECONDS
) -> T:
    """What `condition` answers once it answers something true; the test fails if that takes too long."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.02)
    pytest.fail(f"waited {patience_seconds} s for {what}" + (f"; the worker's log:\n{worker.log}" if worker else ""))


def finished(job_id: str, worker: Worker | None = None) -> Job:
    """The job, once it is over."""

    return wait_for(lambda: finished_or_none(job_id), f"job {job_id} to end", worker)


def finished_or_none(job_id: str) -> Job | None:
    """The job if it is over."""
    job = store().get(job_id)
    return job if job and job.status in FINAL else None
