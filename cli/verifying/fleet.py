"""The workers of the scenarios: real processes, and a fleet of them in which a dead one is replaced, as a host would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock, Thread
from uuid import uuid4

from cli.verifying.waiting import wait_until
from devstack.watchdog import Watchdog

LOOK_SECONDS = 0.1
START_SECONDS = 60
STOP_SECONDS = 45


class WorkerProcess:
    """`celery -A devstack.faulty worker -Q …` in a process group of its own; its log is a file."""

    def __init__(
        self, directory: Path, watchdog: Watchdog, kinds: Sequence[str], environment: Mapping[str, str], slots: int
    ) -> None:
        self.log_file = directory / f"{uuid4().hex[:8]}.log"
        celery = [sys.executable, "-m", "celery", "-A", "devstack.faulty"]
        worker = ["worker", "-Q", ",".join(kinds), "-c", str(slots)]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                watchdog.command([*celery, *worker], "app"),
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_until_ready(self) -> None:
        """Return when it takes jobs.

        Raises:
            NeverHappened: it does not.
        """
        wait_until(lambda: " ready." in self.log or not self.is_running, f"a worker to start ({self.log_file})", START_SECONDS)

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the worker and all that it started, as a host does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """It takes jobs inside the block, and has ended after it."""
        try:
            self.wait_until_ready()
            yield
        finally:
            self.stop()

    def ended(self) -> int:
        """Its exit code, once it has ended by itself.

        Raises:
            NeverHappened: it does not.
        """
        wait_until(lambda: not self.is_running, f"a worker to stop ({self.log_file})", STOP_SECONDS)
        return int(self.process.returncode)

    def stop(self) -> int:
        """Ask it to end, and see to it; the exit code."""
        self.signal_group(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.signal_group(signal.SIGKILL)
            return self.process.wait()


class Fleet:
    """Keeps so many workers running until it is stopped."""

    def __init__(self, start: Callable[[], WorkerProcess], size: int) -> None:
        self._start = start
        self._lock = Lock()
        self._stopped = Event()
        self._leaving: list[WorkerProcess] = []
        self.workers = [start() for _ in range(size)]
        self._thread = Thread(target=self._keep_up, name="fleet", daemon=True)
        self._thread.start()

    def wait_until_ready(self) -> None:
        for worker in list(self.workers):
            worker.wait_until_ready()

    def replaced(self, number: signal.Signals) -> list[WorkerProcess]:
        """Send all of today's workers this signal and start others in their place; those that got it."""
        with self._lock:
            leaving, self.workers = self.workers, [self._start() for _ in self.workers]
            self._leaving += leaving
        for worker in leaving:
            worker.signal_group(number)
        return leaving

    def stop(self) -> None:
        """End them all, at once: whoever ends the fleet is done with its jobs."""
        self._stopped.set()
        self._thread.join()
        for worker in (*self.workers, *self._leaving):
            if worker.is_running:
                worker.signal_group(signal.SIGKILL)
            worker.process.wait()

    def _keep_up(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            with self._lock:
                self.workers = [worker if worker.is_running else self._start() for worker in self.workers]
