"""Processes under measurement: started in a session of their own, and everything of that session is theirs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from types import TracebackType

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
STOP_SECONDS = 30


class Running:
    """A started program with its log. Left, it is told to stop, and killed if it does not."""

    def __init__(self, words: list[str], log: Path, cwd: Path, environment: dict[str, str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        self._said_before = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                words, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def said(self) -> str:
        """What it has logged so far. (Others of its name may have written to the file before.)"""
        return self._log.read_bytes()[self._said_before :].decode(errors="replace")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: Signals) -> None:
        """To every process of it."""
        os.killpg(self.pid, number)

    def tell(self, number: Signals) -> None:
        """To its first process alone."""
        self._process.send_signal(number)

    @property
    def cpu_seconds(self) -> float:
        """What its processes have used of the processor so far, those that have ended included."""
        return sum(cpu for cpu, _ in self._each())

    @property
    def resident_mib(self) -> float:
        return sum(pages for _, pages in self._each()) * PAGE_MIB

    def _each(self) -> Iterator[tuple[float, int]]:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if int(fields[3]) == self.pid:  # the session's
                    yield sum(map(int, fields[11:15])) / TICKS, int(fields[21])

    def stop(self) -> None:
        if self.is_running:
            self.tell(SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """As `kill -9` does."""
        if self.is_running:
            self.signal(SIGKILL)
            self._process.wait()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def cpu_seconds_of(pid: int) -> float:
    """What one process has used of the processor."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])) / TICKS
