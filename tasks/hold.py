"""A job in the hands of this process: its lease's token, how far its attempt is, and what became of the lease.

One lock for each job decides between the attempt, which is about to ask its provider, and the worker's stop, which would rather
give the job to another worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from math import inf
from threading import Event, Lock
from time import monotonic

from jobs.errors import Cancelled, HandedBack, LeaseLost, TimedOut


class Phase(Enum):
    """What it would cost to give the job up now."""

    FREE = "free"
    """Nothing: the provider was not asked yet, or the handler asks none."""
    CALLING = "calling"
    """Perhaps a second payment: a call is under way, or its answer is not recorded."""
    RESUMABLE = "resumable"
    """Nothing: the provider works on by itself, and a checkpoint names what it makes."""


END_OF_HOLD: Mapping[str, Callable[[], Exception]] = {
    "lost": LeaseLost,
    "cancelled": Cancelled,
    "handed back": HandedBack,
    "timed out": TimedOut,
}


class Hold:
    """A lease that is kept alive. Any thread may end it, once; the attempt learns of it at its next `check`."""

    def __init__(self, job_id: str, token: str, *, max_seconds: float) -> None:
        self.job_id = job_id
        self.token = token
        self._max_seconds = max_seconds
        self.deadline = inf
        """By when it must be done. While the job waits for a slot it has all its time."""
        self.changed = Event()
        """Set once the hold has ended: whoever waits should look."""
        self._lock = Lock()
        self._phase = Phase.FREE
        self._end: str | None = None

    def start_clock(self) -> None:
        """The attempt has its longest time from now on."""
        self.deadline = monotonic() + self._max_seconds

    @property
    def end(self) -> str | None:
        """Why the hold ended; None while it stands."""
        return self._end

    def check(self) -> None:
        """Ask whether the attempt may go on.

        Raises:
            LeaseLost, HandedBack, Cancelled, TimedOut: it may not.
        """
        if self._end is not None:
            raise END_OF_HOLD[self._end]()

    def finish(self, end: str) -> bool:
        """End the hold; whether it still stood."""
        with self._lock:
            return self._finish(end)

    def begin_call(self) -> None:
        """The provider is about to be asked: from here on the job is not given up for free."""
        with self._lock:
            self.check()
            self._phase = Phase.CALLING

    def kept(self, *, resumes: bool) -> None:
        """A checkpoint is stored; with `resumes` the provider works on by itself."""
        with self._lock:
            if resumes and self._phase is Phase.CALLING:
                self._phase = Phase.RESUMABLE

    def end_call(self) -> None:
        """The provider has answered, or failed: what it made is worth recording."""
        with self._lock:
            self.check()
            self._phase = Phase.CALLING

    def hand_back(self, *, whatever_it_costs: bool = False) -> bool:
        """End the hold because the worker stops, if that is free; whether it was ended."""
        with self._lock:
            return (whatever_it_costs or self._phase is not Phase.CALLING) and self._finish("handed back")

    def _finish(self, end: str) -> bool:
        if self._end is not None:
            return False
        self._end = end
        self.changed.set()
        return True
