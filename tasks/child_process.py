"""What runs in a child of a worker (`tasks.child`): one attempt after the other, as the slot's thread orders them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from importlib import import_module
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Any

import structlog

from jobs import counters
from jobs.database import DatabaseUnavailable
from jobs.errors import JobError, LeaseLost, NotNow
from jobs.tracing import span
from monitoring.logs import configure_logging
from monitoring.tracing import flush_spans, start_tracing
from tasks.attempt import perform
from tasks.child import STOP_SIGNALS, Agreed, Asks, Ended, Order, Raised, Ready
from tasks.kinds import task_of
from tasks.run import Run

log = structlog.get_logger()

UNDERSTOOD = (JobError, LeaseLost, NotNow, DatabaseUnavailable)
"""What the worker knows how to take. Anything else is ours: logged here, and an error of our side there."""
PR_SET_PDEATHSIG = 1
"""https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html"""


def main() -> None:
    """Serve the slot whose pipe is named by the command line, until it goes away."""
    descriptor, parent_pid = map(int, sys.argv[1:])
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    die_with(parent_pid)
    os.set_inheritable(descriptor, False)
    configure_logging()
    start_tracing("worker")
    parent = Parent(Connection(descriptor))
    while True:
        parent.say(Ready())
        order = parent.orders.get()
        with structlog.contextvars.bound_contextvars(**order.job.log_context()):
            parent.say(attempt(order, parent))


def attempt(order: Order, parent: Parent) -> Ended:
    """Run the ordered attempt."""
    try:
        for module in order.modules:
            import_module(module)
        with span("in a child", "internal", order.traceparent):
            return Ended(perform(task_of(order.job.kind), Run(order.job, HoldOfParent(order, parent))))
    except UNDERSTOOD as error:
        return Ended(Raised.of(error))
    except Exception:
        log.exception("the handler broke")
        return Ended(Raised.of(JobError()))
    finally:  # this process is killed once nobody needs it any more
        counters.flush()
        flush_spans()


class Parent:
    """The slot's thread at the other end of the pipe. When it goes away, so does this process with all that it started."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._speaking = Lock()
        self._agreed: SimpleQueue[Agreed] = SimpleQueue()
        self.orders: SimpleQueue[Order] = SimpleQueue()
        Thread(target=self._listen, name="parent", daemon=True).start()

    def say(self, word: Ready | Asks | Ended) -> None:
        with self._speaking:
            self._pipe.send(word)

    def ask(self, what: str, **given: Any) -> None:
        """Return when the parent has agreed. Where it does not, this process has been killed."""
        self.say(Asks(what, given))
        self._agreed.get()

    def _listen(self) -> None:
        try:
            while True:
                word = self._pipe.recv()
                if isinstance(word, Order):
                    self.orders.put(word)
                else:
                    self._agreed.put(word)
        finally:
            os.killpg(0, signal.SIGKILL)


class HoldOfParent:
    """The hold, which is the parent's. It never ends here: the parent kills this process first."""

    end: str | None = None

    def __init__(self, order: Order, parent: Parent) -> None:
        assert order.job.lease is not None
        self.token = order.job.lease.token
        self.changed = Event()
        self._parent = parent

    def check(self) -> None:
        """The attempt may go on."""

    def begin_call(self) -> None:
        self._parent.ask("begin_call")

    def kept(self, *, resumes: bool) -> None:
        self._parent.ask("kept", resumes=resumes)

    def end_call(self) -> None:
        self._parent.ask("end_call")


def die_with(parent_pid: int) -> None:
    """Have the system kill this process when its parent dies. Where it can't, the pipe's end does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before that
        os.killpg(0, signal.SIGKILL)
