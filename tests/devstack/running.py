"""A stack in a process of its own, as `make up` runs it, and what one wants to know of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pytest
from dotenv import dotenv_values

from devstack.server import free_port
from settings import CHECKOUT

PATIENCE_SECONDS = 180
WEB = "web: python -m http.server --bind 127.0.0.1 $PORT\n"


class Up:
    """`python -m devstack up` with its home, Procfile and port; its output goes to a file."""

    def __init__(
        self,
        home: Path,
        procfile: str = WEB,
        *,
        port: int | None = None,
        variables: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.port = port or free_port()
        self.output_file = home / "output"
        (home / "Procfile").write_text(procfile)
        self.command = [sys.executable, "-m", "devstack", "up", "--home", str(home), "--procfile", str(home / "Procfile")]
        self.command += options
        self.environment = {**without_addresses(), "PORT": str(self.port), **(variables or {})}
        with self.output_file.open("wb") as output:
            self.process = self._start(output.fileno())

    def _start(self, output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command, cwd=CHECKOUT, env=self.environment, stdout=output, stderr=output, start_new_session=True
        )

    def __enter__(self) -> Up:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.ended()

    @property
    def output(self) -> str:
        return self.output_file.read_text(errors="replace")

    @property
    def last_line(self) -> str:
        return self.output.strip().splitlines()[-1]

    def says(self, words: str) -> Up:
        """Wait until it has said so."""
        until(lambda: words in self.output, lambda: f"it never said {words!r}, but:\n{self.output}", self.process)
        return self

    def is_ready(self) -> Up:
        return self.says("Ctrl-C ends everything.")

    def ended(self) -> int:
        """Wait until it has ended; its exit code."""
        return self.process.wait(PATIENCE_SECONDS)

    @property
    def addresses(self) -> dict[str, str | None]:
        return dotenv_values(self.home / "env")

    def process_groups(self) -> list[int]:
        """The leaders of everything it has started."""
        return [int(line.split()[1]) for line in (self.home / "processes").read_text().splitlines()]


def until(condition: Callable[[], bool], otherwise: Callable[[], str], process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait for the condition; the test fails when it does not come, or when the process it depends on has ended without it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        ended = process is not None and process.poll() is not None
        if (ended and not condition()) or time.monotonic() > deadline:
            pytest.fail(otherwise())
        time.sleep(0.05)


def is_running(group: int) -> bool:
    """Whether a process group has a member that is more than a zombie."""
    listing = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    return any(int(line.split()[0]) == group and not line.split()[1].startswith("Z") for line in listing.splitlines())


def without_addresses() -> dict[str, str]:
    """The environment as a user has it, who knows nothing of the tests' servers."""
    named_by_tests = ("MONGODB_", "AWS_", "SQS_", "QUEUE_PREFIX", "AUTH", "PUBLIC_URL")
    return {name: value for name, value in os.environ.items() if not name.startswith(named_by_tests)}
