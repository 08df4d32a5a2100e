"""The heartbeat: while a job runs, its lease is renewed in MongoDB and its message is kept invisible at SQS.

Two threads of the process with clients of their own, so that neither service waits for the other, nor for the tasks. Only the
lease decides; a visibility change that fails is logged and the job runs on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Event, Lock, Thread
from time import monotonic

import structlog

from jobs.database import Database, DatabaseUnavailable
from jobs.document import Job
from jobs.pace import Pace, pace
from jobs.store import JobStore
from queues.clients import QueueError, make_client
from queues.deliveries import Delivery, deliveries
from queues.queue import Queue
from queues.receiver import VISIBILITY_BEYOND_LEASE_SECONDS
from settings import settings
from tasks.hold import Hold

log = structlog.get_logger()

TICK_SECONDS = 1.0


@dataclass(frozen=True)
class Held:
    """A job that this process runs. `on_time_out` is called once where it runs longer than its kind may."""

    job: Job
    hold: Hold
    delivery: Delivery
    on_time_out: Callable[[], None]


class Beat:
    """Keeps leases alive, and messages invisible, from its own threads, which start with the first job."""

    def __init__(self, leases: JobStore, pace: Pace) -> None:
        self._leases = leases
        self._pace = pace
        self._held: dict[str, Held] = {}
        self._lock = Lock()
        self._started = False

    @contextmanager
    def keeping(self, held: Held) -> Iterator[None]:
        """Keep the lease alive inside the block. It takes the place of whoever kept the same one."""
        self.keep(held)
        try:
            yield
        finally:
            self.drop(held)

    def keep(self, held: Held) -> None:
        """Keep the lease alive from now on."""
        with self._lock:
            self._held[held.hold.token] = held
        self.start()

    def drop(self, held: Held) -> None:
        """Keep it no more."""
        with self._lock:
            del self._held[held.hold.token]

    def held(self) -> list[Held]:
        """What this process runs now."""
        with self._lock:
            return list(self._held.values())

    def start(self) -> None:
        with self._lock:
            if self._started:
                return
            self._started = True
        Thread(target=self._keep_leases, name="beat", daemon=True).start()
        if settings().uses_sqs:
            Thread(target=self._keep_invisible, name="beat-visibility", daemon=True).start()

    def _keep_leases(self) -> None:
        ticking = Event()
        renewed = looked = monotonic()
        while not ticking.wait(min(TICK_SECONDS, self._pace.beat)):
            if not self.held():
                continue
            now = monotonic()
            try:
                standing = [held for held in self.held() if self._stands(held, now)]
                if now - renewed >= self._pace.beat and self._renew(standing):
                    renewed = now
                if now - looked >= self._pace.look and self._look(standing):
                    looked = now
            except Exception:  # the next tick may do better; without this thread every lease would run out
                log.exception("a beat broke; trying on")

    def _stands(self, held: Held, now: float) -> bool:
        """Whether a hold is worth renewing. One that lasts too long is ended here."""
        if now > held.hold.deadline and held.hold.finish("timed out"):
            log.error("a job ran longer than its kind may; its attempt is ended", **held.job.log_context())
            held.on_time_out()
        return held.hold.end in (None, "cancelled")

    def _renew(self, standing: list[Held]) -> bool:
        """Prolong the leases. False where MongoDB was away: the next tick tries again."""
        if not standing:
            return True
        try:
            self._leases.renew([held.hold.token for held in standing])
        except DatabaseUnavailable as error:
            log.warning("leases could not be renewed; trying on", leases=len(standing), reason=str(error))
            return False
        return True

    def _look(self, standing: list[Held]) -> bool:
        """Tell the attempts whose lease was lost or whose cancel is asked for. False where nothing could be learnt."""
        if not standing:
            return True
        try:
            leases = self._leases.held([held.hold.token for held in standing])
        except DatabaseUnavailable:
            return False
        for held in standing:
            if held.hold.token not in leases:
                held.hold.finish("lost")
            elif leases[held.hold.token]:
                held.hold.finish("cancelled")
        return True

    def _keep_invisible(self) -> None:
        client = make_client("sqs")
        seconds = int(self._pace.lease) + VISIBILITY_BEYOND_LEASE_SECONDS
        ticking = Event()
        while not ticking.wait(self._pace.beat):
            handles: dict[Queue, dict[str, int]] = defaultdict(dict)
            for delivery in deliveries().all():
                handles[delivery.queue][delivery.message.receipt_handle] = seconds
            for queue, changes in handles.items():
                try:
                    queue.change_visibility(changes, client)
                except QueueError as error:
                    log.warning("messages could not be kept invisible; their jobs run on", reason=str(error))
                except Exception:
                    log.exception("messages could not be kept invisible; trying on")


_making = Lock()


def beat() -> Beat:
    """The process's heartbeat: one, also for slots that ask for it first at the same moment."""
    with _making:
        return _beat()


@cache
def _beat() -> Beat:
    configured = settings()
    return Beat(JobStore(Database(configured.mongodb_uri, configured.mongodb_database), pace()), pace())
