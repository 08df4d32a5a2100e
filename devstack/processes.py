"""The processes of the Procfile, run by honcho until somebody says so, or one of them can't be kept running."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any

from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.process import Popen, Process

from devstack.errors import StackError
from devstack.restarts import MOST_ENDS, Restarts
from devstack.watchdog import GRACE_SECONDS, Watchdog, signal_group


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


class Group(Process):
    """A process of the Procfile. Its end is the end of all that it started, as on a host."""

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        self._child_ctor = self._start_child
        super().run(events, ignore_signals)

    def _start_child(self, command: str, **options: Any) -> Any:
        child = Popen(command, **options)
        Thread(target=self._end_rest, args=(child,), daemon=True).start()
        return child

    def _end_rest(self, child: Any) -> None:
        """Whatever it left behind would hold its output open, and perhaps its port."""
        child.wait()
        signal_group(child.pid, signal.SIGKILL)


class Processes(Manager):
    """honcho's manager, which besides starts again what ended by itself, gives its processes time to end, and ends them when
    our parent has died.

    `each_look` is called about ten times a second while they run. Nothing is started again until somebody has set `is_up`:
    what ends during the start has a fault that another start would not mend.
    """

    def __init__(self, commands: dict[str, str], environment: dict[str, str], watchdog: Watchdog) -> None:
        super().__init__()
        self.is_up = False
        self.returncode: int | None = None
        self.events: Any = self.events
        self._told = self.events
        self.each_look: Callable[[], None] = lambda: None
        self.fallen: list[str] = []
        self.last_output = time.monotonic()
        self._watchdog = watchdog
        self._parent = os.getppid()
        self._wanted_end = False
        self._deadline = float("inf")
        self._process_ctor = Group
        self._restarts = Restarts()
        self._due: dict[str, float] = {}
        self._given_up: set[str] = set()
        for name, command in commands.items():
            self.add_process(name, watchdog.shell(command, "app"), env=environment)

    @property
    def fault(self) -> str | None:
        """Which process ended although nobody had asked it to, and was not started again."""
        if not self.fallen:
            return None
        name = self.fallen[0]
        code = self._processes[name]["returncode"]
        often = f" {MOST_ENDS} times within a minute" if name in self._given_up else ""
        return f"The process `{name}` ended by itself{often} (exit code {code}), so everything was stopped."

    def terminate(self) -> None:
        """Ask every process to end. Safe at any time, any number of times."""
        if not self._wanted_end:
            self.fallen = [name for name, process in self._processes.items() if process.get("returncode") is not None]
            for name in self._due:  # it does not run, and will not
                self._processes[name]["returncode"] = 0
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
        self.events = _LookedAt(self._told, self._look, self._is_for_honcho)

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        self.returncode = 0
        self.terminate()

    def _is_for_honcho(self, event: Any) -> bool:
        if event.type == "line":
            self.last_output = time.monotonic()
        return event.type != "stop" or self._wanted_end or not self._starts_again(event.name, event.data["returncode"])

    def _starts_again(self, name: str, code: int) -> bool:
        process = self._processes[name]
        self._watchdog.forget(process["pid"])
        if not self.is_up:
            return False
        seconds = self._restarts.wait_after(name, time.monotonic())
        if seconds is None:
            self._given_up.add(name)
            return False
        self._system_print(f"{name} ended by itself (exit code {code}); it starts again in {seconds:g} s\n")
        process["returncode"] = None  # to honcho neither running nor ended
        self._due[name] = time.monotonic() + seconds
        return True

    def _start_due(self) -> None:
        now = time.monotonic()
        for name in [name for name, due in self._due.items() if due <= now]:
            del self._due[name]
            process = self._processes[name]
            del process["returncode"]
            process["pid"] = None
            process["process"] = multiprocessing.Process(name=name, target=process["obj"].run, args=(self._told, True))
            process["process"].start()

    def _look(self) -> None:
        if os.getppid() != self._parent and not self._wanted_end:
            self.returncode = 0
            self.terminate()
        elif self._wanted_end:
            self.terminate()
            self.kill()
        else:
            self._start_due()
            self.each_look()


class _LookedAt:
    """honcho's queue of events, with a look at the world before each read of it, and without what honcho need not know."""

    def __init__(self, events: Any, look: Callable[[], None], is_for_honcho: Callable[[Any], bool]) -> None:
        self._events = events
        self._look = look
        self._is_for_honcho = is_for_honcho

    def get(self, timeout: float) -> Any:
        self._look()
        event = self._events.get(timeout=timeout)
        if not self._is_for_honcho(event):
            raise queue.Empty
        return event
