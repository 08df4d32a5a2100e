"""Without SQS (`BROKER=none`): the jobs of every kind, run by threads of this process, and the relay's rounds beside them.

What a worker hears from SQS this one reads from the line in MongoDB (`jobs.here`), when it is woken and once a second.
Everything else is a worker's: the pool, the claim, the beat, the ritual of the task, and how it leaves.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from itertools import chain
from threading import Event, Lock, Thread
from time import monotonic
from uuid import uuid4

import structlog

import providers.cancelling  # noqa: F401 - performs the cancels of generations
from jobs import counters
from jobs.database import DatabaseUnavailable, PyMongoError
from jobs.document import Job
from jobs.here import line, woken
from jobs.pace import pace
from jobs.pauses import pauses
from jobs.relay import start_in_background
from jobs.samples import take_sample
from jobs.spending import wake_affordable
from jobs.workers import OwnDocument
from providers.outages import probe_due
from queues.catalogue import HIGH, KINDS, NORMAL
from queues.deliveries import Delivery, Leave, Visible, deliveries
from queues.per_minute import PerMinute
from queues.queue import Message, queue_for
from queues.turns import HIGH_IN_A_ROW
from queues.wire import JobMessage
from settings import settings
from tasks import leaving
from tasks.attending import attend, hold
from tasks.pool import TaskPool

log = structlog.get_logger()

LOOK_SECONDS = 1.0
"""Between two looks at the line, unless something wakes: what another process sends, and what is due, is seen by then."""
MOST = 100
JOIN_SECONDS = 5


class Slots(TaskPool):
    """The pool in a process that has other work too: it does not end for slots that hang, it opens others in their place."""

    def _end_if_too_few(self) -> None:
        if hanging := len(self._written_off):
            log.error("a job's slot hangs; another is opened. Start this process anew when it suits", hanging=hanging)
            self.grow(1)


class Inside:
    """Runs the line's jobs: of each kind as many at once as `WEB_SLOTS` and the catalogue allow."""

    def __init__(self) -> None:
        self.name = f"web-{uuid4().hex[:4]}@{socket.gethostname()}"
        self._places = {kind.name: min(kind.slots, settings().web_slots) for kind in KINDS.values()}
        self._pool = Slots(sum(self._places.values()))
        self._document = OwnDocument(self.name)
        self._said_at = -pace().beat
        self._taken = {kind: PerMinute() for kind in KINDS}
        self._high_in_a_row: Counter[str] = Counter()
        self._later: dict[str, float] = {}
        self._stopping = Event()
        self._leaving = Lock()
        self._has_left = False
        self._thread = Thread(target=self._run, name="line", daemon=True)

    def start(self) -> None:
        """Begin. Jobs that another process was at when it ended go on at once, or once their leases have run out."""
        log.info("BROKER=none: no SQS is used; this process runs the jobs itself", worker=self.name, slots_by_kind=self._places)
        deliveries().on_settled = self._settled
        self._pool.start()
        self._end_relay = start_in_background(KINDS, also=[probe_due, wake_affordable, take_sample])
        self._thread.start()

    def leave(self) -> None:
        """Start no more, and return once what runs is recorded or handed back, as a worker that is told to stop does.

        Whoever calls it again waits for the same.
        """
        with self._leaving:
            if self._has_left:
                return
            self._has_left = True
            self._stopping.set()
            woken.set()
            self._thread.join(JOIN_SECONDS)
            self._end_relay()
            self._pool.on_stop()
            leaving.let_go()
            with suppress(DatabaseUnavailable):  # else it is gone once it is too old
                self._document.remove()
            counters.flush()

    def _run(self) -> None:
        is_away = False
        while not self._stopping.is_set():
            woken.clear()
            taken = 0
            try:
                taken = self._take()
                self._say_alive()
                is_away = False
            except (DatabaseUnavailable, PyMongoError) as error:
                if not is_away:
                    log.warning("MongoDB is away; no job is started until it is back", reason=str(error))
                is_away = True
            except Exception:
                log.exception("the look at the line broke; it is tried again")
            if not taken:
                woken.wait(LOOK_SECONDS)

    def _take(self) -> int:
        """Start what there is room for; how many jobs that were."""
        held = deliveries().all()
        busy = Counter(delivery.job.kind for delivery in held)
        room = {kind: places - busy[kind] for kind, places in self._places.items()}
        kinds = [kind for kind, places in room.items() if places > 0 and not pauses().is_paused(kind)]
        if not kinds:
            return 0
        now = monotonic()
        for job_id, until in [*self._later.items()]:  # slots add to it meanwhile
            if until <= now:
                self._later.pop(job_id, None)
        but = {delivery.job.job_id for delivery in held} | self._later.keys()
        groups = {KINDS[delivery.job.kind].group_of(delivery.job.user_id) for delivery in held if KINDS[delivery.job.kind].fifo}
        by_lane = {lane: line().first(kinds, lane, MOST, but=but) for lane in (HIGH, NORMAL)}
        taken = 0
        for job in self._in_turn(by_lane[HIGH], by_lane[NORMAL]):
            if self._stopping.is_set():
                break
            if room[job.kind] > 0 and (job.group is None or job.group not in groups):
                room[job.kind] -= 1
                taken += 1
                groups.add(job.group)
                self._start(job)
        return taken

    def _in_turn(self, high: Iterable[Job], normal: Iterable[Job]) -> Iterator[Job]:
        """High ones first, but after nine of a kind one that is not, as in the queues' lanes."""
        waiting = {kind: [job for job in normal if job.kind == kind] for kind in KINDS}
        ahead = {kind: [job for job in high if job.kind == kind] for kind in KINDS}
        return chain.from_iterable(self._of_kind(kind, ahead[kind], waiting[kind]) for kind in KINDS)

    def _of_kind(self, kind: str, high: list[Job], normal: list[Job]) -> Iterator[Job]:
        while high or normal:
            is_high = bool(high) and (self._high_in_a_row[kind] < HIGH_IN_A_ROW or not normal)
            job = (high if is_high else normal).pop(0)
            yield job
            self._high_in_a_row[kind] = self._high_in_a_row[kind] + 1 if is_high else 0

    def _start(self, job: Job) -> None:
        message = Message(message_id=job.message_id or "", receipt_handle="", body="")
        delivery = hold(queue_for(job.kind, job.priority), message, JobMessage(job.id, job.user_id, job.kind))
        self._taken[job.kind].count(1)
        self._pool.apply_async(attend, (delivery, self.name), callback=lambda _: None)

    def _settled(self, delivery: Delivery) -> None:
        """Nothing is acknowledged: the job's document says it all. What could not be claimed is left alone for a while."""
        match delivery.settlement:
            case Visible(seconds):
                self._later[delivery.job.job_id] = monotonic() + min(max(seconds, LOOK_SECONDS), pace().lease)
            case Leave():
                self._later[delivery.job.job_id] = monotonic() + LOOK_SECONDS
        woken.set()

    def _say_alive(self) -> None:
        """The document that a worker has, for those who look whether any receives."""
        now = monotonic()
        if now - self._said_at < pace().beat:
            return
        looked = dict.fromkeys(KINDS, now)
        self._document.write(
            slots=self._pool.limit,
            running=len(deliveries()),
            last_receive=looked,
            last_attempt=looked,
            receives_per_minute={kind: counted.rate for kind, counted in self._taken.items()},
        )
        self._said_at = now


@cache
def inside() -> Inside:
    """The process's."""
    return Inside()
