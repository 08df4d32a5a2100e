"""The heartbeat: while a job runs, its lease is renewed in MongoDB and its message is kept invisible at SQS.

One thread for the process. Only the lease decides; a visibility change that fails is logged and the job runs on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Event, Lock, Thread
from time import monotonic

import structlog

from jobs.database import DatabaseUnavailable
from jobs.store import store
from queues.clients import QueueError
from queues.deliveries import deliveries
from queues.queue import Queue
from queues.receiver import VISIBILITY_BEYOND_LEASE_SECONDS
from settings import settings

log = structlog.get_logger()

TICK_SECONDS = 1.0
LOOK_SECONDS = 3.0
"""How often the beat looks whether a lease was lost or a cancel asked for."""


class Hold:
    """A lease that is kept alive, and what became of it."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.is_lost = False
        self.is_cancelled = False
        self.changed = Event()
        """Set once the lease is lost or the cancel asked for: whoever waits should look."""


class Beat:
    """Keeps leases alive from its own thread, which starts with the first one."""

    def __init__(self, lease_seconds: float) -> None:
        self._interval = lease_seconds / 3
        self._visibility_seconds = int(lease_seconds) + VISIBILITY_BEYOND_LEASE_SECONDS
        self._holds: dict[str, Hold] = {}
        self._lock = Lock()
        self._thread: Thread | None = None

    @contextmanager
    def keeping(self, token: str) -> Iterator[Hold]:
        """Keep the lease with this token alive inside the block."""
        hold = Hold(token)
        with self._lock:
            self._holds[token] = hold
            if self._thread is None:
                self._thread = Thread(target=self._run, name="beat", daemon=True)
                self._thread.start()
        try:
            yield hold
        finally:
            with self._lock:
                del self._holds[token]

    def _run(self) -> None:
        ticking = Event()
        renewed = looked = monotonic()
        while not ticking.wait(min(TICK_SECONDS, self._interval)):
            now = monotonic()
            with self._lock:
                holds = list(self._holds.values())
            if now - renewed >= self._interval and self._renew(holds):
                renewed = now
            if now - looked >= min(LOOK_SECONDS, self._interval):
                self._look(holds)
                looked = now

    def _renew(self, holds: list[Hold]) -> bool:
        """Prolong everything held. False where MongoDB was away: the next tick tries again."""
        self._keep_invisible()
        if not holds:
            return True
        try:
            store().renew([hold.token for hold in holds])
        except DatabaseUnavailable as error:
            log.warning("leases could not be renewed; trying on", leases=len(holds), reason=str(error))
            return False
        return True

    def _keep_invisible(self) -> None:
        handles: dict[Queue, dict[str, int]] = defaultdict(dict)
        for delivery in deliveries().all():
            handles[delivery.queue][delivery.message.receipt_handle] = self._visibility_seconds
        for queue, seconds in handles.items():
            try:
                queue.change_visibility(seconds)
            except QueueError as error:
                log.warning("messages could not be kept invisible; their jobs run on", reason=str(error))

    def _look(self, holds: list[Hold]) -> None:
        if not holds:
            return
        try:
            standing = store().held([hold.token for hold in holds])
        except DatabaseUnavailable:
            return  # nothing is known; the next look will tell
        for hold in holds:
            hold.is_lost = hold.token not in standing
            hold.is_cancelled = standing.get(hold.token, False)
            if hold.is_lost or hold.is_cancelled:
                hold.changed.set()


@cache
def beat() -> Beat:
    """The process's heartbeat."""
    return Beat(settings().lease_seconds)
