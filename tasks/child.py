"""Attempts in a process of their own: killable, and when they die nothing else does.

For kinds that work the processor and for jobs behind which a worker has died before. A child is spawned, never forked: a worker
has threads. It belongs to the thread of its slot, which waits for it, and runs the same `tasks.attempt.perform` with clients of
its own. The hold stays here; the child asks for it over a pipe (`tasks.child_process`). When the hold ends, the child is killed
with all that it has started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, Self

import structlog

from jobs.document import Job
from jobs.errors import WorkerLost
from tasks.attempt import Made

if TYPE_CHECKING:
    from celery import Celery

    from tasks.job_task import JobTask
    from tasks.run import HoldOfRun, Run

log = structlog.get_logger()

QUARANTINE_PLACES = 8
"""So many jobs with a crash behind them run at once in a worker."""
IDLE_CHILDREN = 8
"""So many are kept for the next jobs."""
LOOK_SECONDS = 0.1
"""How often whoever waits looks whether the hold still stands."""
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}
"""What a worker is told to stop by. Its children leave that to it."""
PROGRAM = "from tasks.child_process import main; main()"


@dataclass(frozen=True)
class Ready:
    """From the child: it can take an order."""


@dataclass(frozen=True)
class Order:
    """To the child: attempt this job. `modules` is what the worker's app was loaded by; faults are ordered there."""

    job: Job
    modules: list[str]
    traceparent: str | None = None
    """Of the attempt's span, which is the worker's."""


@dataclass(frozen=True)
class Asks:
    """From the child: do this to the hold, and tell me when it is done."""

    what: str
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Agreed:
    """To the child: it is done. Where it can't be, the child is killed instead."""


@dataclass(frozen=True)
class Raised:
    """An exception on its way between processes; its class need not take its arguments as they are kept."""

    kind: type[Exception]
    arguments: tuple[Any, ...]
    state: Mapping[str, Any]

    @classmethod
    def of(cls, error: Exception) -> Self:
        return cls(type(error), error.args, vars(error))

    def revived(self) -> Exception:
        error = self.kind.__new__(self.kind, *self.arguments)
        vars(error).update(self.state)
        return error


@dataclass(frozen=True)
class Ended:
    """From the child: the attempt is over, by one of the two."""

    outcome: Made | Raised


_quarantine = BoundedSemaphore(QUARANTINE_PLACES)
_idle: list[Child] = []
_spawner = ThreadPoolExecutor(1, "children")
"""Children are started by a thread that lasts: one dies with the thread that started it."""


def perform_in_child(task: JobTask, run: Run) -> Made:
    """`tasks.attempt.perform` in a child process. Of jobs with a crash behind them few run at once.

    Starting a child costs a second or two, so one that has done its job is kept for the next.

    Raises:
        WorkerLost: the child died by itself.
        Exception: what the attempt raised; or what `run.hold.check` raises, the child killed.
    """
    order = Order(run.job, _modules_of(task.app), run.traceparent)
    with _place_in_quarantine(run.hold) if run.job.crashes else nullcontext():
        child = _take_child()
        outcome = child.perform(order, run.hold)
        _keep_child(child)
    if isinstance(outcome, Raised):
        raise outcome.revived()  # here, where the traceback keeps no child from its end
    return outcome


def _take_child() -> Child:
    while True:
        try:
            child = _idle.pop()
        except IndexError:
            return _spawner.submit(Child).result()
        if child.is_alive:
            return child


def _keep_child(child: Child) -> None:
    if len(_idle) < IDLE_CHILDREN:
        _idle.append(child)
    else:
        child.kill()


class Child:
    """A process that attempts one job after the other. It is killed at the latest when nobody refers to it any more."""

    def __init__(self) -> None:
        ours, theirs = Pipe()
        with theirs, _stop_signals_held():
            self._process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        self._pipe = ours
        self.kill = weakref.finalize(self, _kill, self._process, self._pipe)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self.kill.alive and self._process.poll() is None

    def perform(self, order: Order, hold: HoldOfRun) -> Made | Raised:
        """What the attempt made or raised. Where this raises, the child is dead."""
        try:
            return self._outcome(order, hold)
        except (EOFError, OSError) as error:
            self.kill()
            hold.check()
            raise WorkerLost(f"The process that ran the job {self._cause_of_death()}.") from error
        except BaseException:
            self.kill()
            raise

    def _outcome(self, order: Order, hold: HoldOfRun) -> Made | Raised:
        while True:
            match self._next_word(hold):
                case Ready():
                    self._pipe.send(order)
                case Asks(what, given):
                    getattr(hold, what)(**given)
                    self._pipe.send(Agreed())
                case Ended(outcome):
                    return outcome

    def _next_word(self, hold: HoldOfRun) -> Any:
        while True:
            hold.check()
            if self._pipe.poll(LOOK_SECONDS):
                return self._pipe.recv()
            if self._process.poll() is not None:  # with something it started still holding the pipe
                raise EOFError

    def _cause_of_death(self) -> str:
        code = self._process.returncode
        if code >= 0:
            return f"ended by itself, with exit status {code}"
        if code == -signal.SIGKILL:
            return "was killed (SIGKILL), as systems do when memory runs out"
        return f"died of {signal.Signals(-code).name}"


def _kill(process: subprocess.Popen[bytes], pipe: Connection) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS's word for a group of the dead is the second
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    pipe.close()


@contextmanager
def _stop_signals_held() -> Iterator[None]:
    """What is started inside takes no stop signal from its first moment on, until it says how to take it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _place_in_quarantine(hold: HoldOfRun) -> Iterator[None]:
    while not _quarantine.acquire(timeout=LOOK_SECONDS):
        hold.check()
    try:
        yield
    finally:
        _quarantine.release()


def _modules_of(app: Celery) -> list[str]:
    """The modules beside `tasks` that offer the app, such as the one that the worker's `-A` named."""
    return [
        name
        for name, module in [*sys.modules.items()]
        if getattr(module, "__dict__", {}).get("app") is app and name.partition(".")[0] not in {"tasks", "__main__"}
    ]
