"""Being told to stop: by Ctrl-C, by SIGTERM, by the terminal that closes."""

from __future__ import annotations

import signal
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Somebody told this process to stop. Not an `Exception`: nothing but the command itself may catch it."""


def stop_on_signals() -> None:
    """From now on the first signal to stop raises `Stopped` in the main thread; later ones don't disturb the tidying up."""
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` ignores SIGHUP, and means it
            signal.signal(number, _raise_stopped)


def ignore_signals() -> None:
    """The end has begun; nothing may interrupt it."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _raise_stopped(number: int, frame: FrameType | None) -> None:
    ignore_signals()
    raise Stopped
