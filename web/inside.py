"""Without SQS the web process runs the jobs: when that begins, and how it leaves them when it is told to stop."""

from __future__ import annotations

import _thread
import atexit
import signal
from threading import Thread, current_thread, main_thread
from types import FrameType

import click

from settings import settings

ENDS = (signal.SIGTERM, signal.SIGINT)


def start_if_wanted() -> None:
    """Run jobs in this process if `BROKER=none`; not for a Flask command that only looks at the application."""
    command = click.get_current_context(silent=True)
    if settings().uses_sqs or (command is not None and command.info_name != "run"):
        return
    from tasks.inside import inside  # with SQS nothing of it is loaded

    inside().start()
    atexit.register(inside().leave)
    if current_thread() is main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # gunicorn has its own way
        for number in ENDS:
            signal.signal(number, _leave_and_end)


def begin_to_leave() -> None:
    """Start leaving, on a thread: a signal's handler may call it. `wait_until_left` waits for its end."""
    if not settings().uses_sqs:
        Thread(target=wait_until_left, name="leaving").start()


def wait_until_left() -> None:
    """Return once no job runs here any more. Before the interpreter ends: children are killed then."""
    if not settings().uses_sqs:
        from tasks.inside import inside

        inside().leave()


def _leave_and_end(number: int, frame: FrameType | None) -> None:
    """As Ctrl-C ends `flask run`, with the jobs left first. The second signal ends it at once."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    Thread(target=_leave_then_interrupt, name="leaving", daemon=True).start()


def _leave_then_interrupt() -> None:
    wait_until_left()
    _thread.interrupt_main()
