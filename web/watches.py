"""What a stream of events waits for: the newest state of one job, or what changed in a list of jobs.

A watch holds the newest state only, so whoever reads slowly skips what is outdated by then, and memory stays bounded.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock

from jobs.document import Job
from queues.catalogue import KINDS

MOST_WAITING = 200
"""Jobs whose changes a reader of a list hasn't taken yet. With more it is told to fetch the list again."""


class Told:
    """A job as it was read once for all who watch it, and written out once for all."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._lock = Lock()
        self._written: dict[object, str] = {}

    def written(self, for_whom: object, write: Callable[[Job], str]) -> str:
        """What `write` makes of the job; it is called once for all who are alike `for_whom`."""
        with self._lock:
            if for_whom not in self._written:
                self._written[for_whom] = write(self.job)
            return self._written[for_whom]


@dataclass(eq=False, kw_only=True)
class Watch:
    """What every watch has: somebody who waits, and a way to wake them."""

    by: str | None = None
    """The user whose streams are counted; None: they aren't."""
    client: socket.socket | None = None
    """The connection, where the server shows it."""
    is_over: bool = False
    """Nothing more will come."""
    _woken: Event = field(default_factory=Event, repr=False)

    def wait(self, seconds: float) -> bool:
        """Wait so long; whether there may be news."""
        woken = self._woken.wait(seconds)
        self._woken.clear()
        return woken

    def wake(self) -> None:
        self._woken.set()

    def end(self) -> None:
        self.is_over = True
        self.wake()

    def is_gone(self) -> bool:
        """Whether the client has hung up: a server notices only when it writes."""
        if self.client is None:
            return False
        try:
            poll = select.poll()
            poll.register(self.client, select.POLLIN)
            return bool(poll.poll(0)) and not self.client.recv(1, socket.MSG_PEEK)
        except OSError:
            return True
        except ValueError:  # closed, or of a sort that can't be asked
            return self.client.fileno() < 0

    def hang_up(self) -> None:
        """Break the connection, so that a write which hangs on it returns."""
        if self.client is not None:
            with suppress(OSError):
                self.client.shutdown(socket.SHUT_RDWR)


@dataclass(eq=False, kw_only=True)
class JobWatch(Watch):
    """Of one job, and of its text if that is wanted."""

    job_id: str
    wants_text: bool = False
    told: Told | None = None
    """The job as it was read last."""
    text: str | None = None
    """Its text; of a job that is over, all of it."""


@dataclass(eq=False, kw_only=True)
class ListWatch(Watch):
    """Of the jobs of a user (None: everybody's), of one kind only or of all but the internal ones."""

    user_id: str | None
    kind: str | None = None
    _lock: Lock = field(default_factory=Lock, repr=False)
    _waiting: dict[str, Told] = field(default_factory=dict, repr=False)
    _has_missed: bool = False

    def tell(self, told: Told) -> None:
        """The job has changed."""
        if not self._concerns(told.job):
            return
        with self._lock:
            self._waiting[told.job.id] = told
            if len(self._waiting) > MOST_WAITING:
                self._waiting, self._has_missed = {}, True
        self.wake()

    def _concerns(self, job: Job) -> bool:
        kind = KINDS.get(job.kind)
        is_listed = job.kind == self.kind if self.kind else kind is not None and not kind.internal
        return is_listed and self.user_id in (None, job.user_id)

    def miss(self) -> None:
        """Any of the jobs may have changed."""
        with self._lock:
            self._waiting, self._has_missed = {}, True
        self.wake()

    def take(self) -> tuple[bool, list[Told]]:
        """Whether changes were missed, and those that were not, since the last time."""
        with self._lock:
            taken = self._has_missed, [*self._waiting.values()]
            self._waiting, self._has_missed = {}, False
        return taken
