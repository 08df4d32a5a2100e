"""The processes of the Procfile, run by honcho until one ends or somebody says so."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from honcho.environ import parse_procfile
from honcho.manager import Manager

from devstack.errors import StackError
from devstack.watchdog import GRACE_SECONDS, Watchdog


def read_procfile(path: Path) -> dict[str, str]:
    """The commands of a Procfile by their names.

    Raises:
        StackError: there is no such file, or nothing in it.
    """
    try:
        commands: dict[str, str] = dict(parse_procfile(path.read_text()).processes)
    except FileNotFoundError:
        raise StackError(f"There is no {path}.") from None
    if not commands:
        raise StackError(f"{path} names no process; a line is `name: command`.")
    return commands


class Processes(Manager):
    """honcho's manager, which besides gives its processes time to end, and ends them when our parent has died.

    `each_look` is called about ten times a second while they run.
    """

    def __init__(self, commands: dict[str, str], environment: dict[str, str], watchdog: Watchdog) -> None:
        super().__init__()
        self.returncode: int | None = None
        self.events: Any = self.events
        self.each_look: Callable[[], None] = lambda: None
        self.fallen: list[str] = []
        self.last_output = time.monotonic()
        self._watchdog = watchdog
        self._parent = os.getppid()
        self._wanted_end = False
        self._deadline = float("inf")
        for name, command in commands.items():
            self.add_process(name, watchdog.shell(command, "app"), env=environment)

    @property
    def fault(self) -> str | None:
        """Which process ended although nobody had asked it to."""
        if not self.fallen:
            return None
        name = self.fallen[0]
        code = self._processes[name]["returncode"]
        return f"The process `{name}` ended by itself (exit code {code}), so everything was stopped."

    def terminate(self) -> None:
        """Ask every process to end. Safe at any time, any number of times."""
        if not self._wanted_end:
            self.fallen = [name for name, process in self._processes.items() if process.get("returncode") is not None]
            if self.returncode is not None and self.returncode in (130, 143) and not self.fallen:
                self.returncode = 0  # being told to stop is no failure
        self._wanted_end = True
        if self._all_started() and not self._terminating:  # honcho doesn't know the ids of the others yet
            self._deadline = time.monotonic() + GRACE_SECONDS
            super().terminate()

    def kill(self) -> None:
        """Kill what has not ended in its time. honcho asks for this after five seconds, too early for a job to be put away."""
        if time.monotonic() >= self._deadline:
            super().kill()

    def loop(self) -> None:
        """Run until all have ended, whatever made them."""
        try:
            super().loop()
        except BaseException:
            self._watchdog.end("app")  # honcho would wait for them for ever
            raise

    def _start(self) -> None:
        super()._start()
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._on_hangup)  # honcho takes care of SIGINT and SIGTERM only
        self.events = _LookedAt(self.events, self._look, self._on_event)

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        self.returncode = 0
        self.terminate()

    def _on_event(self, event: Any) -> None:
        if event.type == "line":
            self.last_output = time.monotonic()

    def _look(self) -> None:
        if os.getppid() != self._parent and not self._wanted_end:
            self.returncode = 0
            self.terminate()
        elif self._wanted_end:
            self.terminate()
            self.kill()
        else:
            self.each_look()


class _LookedAt:
    """honcho's queue of events, with a look at the world before each read of it."""

    def __init__(self, events: Any, look: Callable[[], None], on_event: Callable[[Any], None]) -> None:
        self._events = events
        self._look = look
        self._on_event = on_event

    def get(self, timeout: float) -> Any:
        self._look()
        event = self._events.get(timeout=timeout)
        self._on_event(event)
        return event
