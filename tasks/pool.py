"""The pool: dozens of slots in one process, on daemon threads.

A job waits for its AI provider nearly all of its time, so a slot needs a thread and not a process. A slot is a place for one
handler: while what it made is recorded the next may have the place, so there are some threads more than slots. What comes while
none is free is claimed ahead (`tasks.ahead`). The threads are daemons: one that hangs can't keep its process from ending. Its
slot can be written off: then the process takes a job less at a time, until the thread comes back; with a quarter of its slots
gone the worker drains and ends, for its host to start it anew.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from queue import Empty, SimpleQueue
from threading import Lock, Thread, Timer, local
from typing import Any, NamedTuple

import structlog
from celery.concurrency.base import BasePool, apply_target
from celery.signals import worker_shutting_down
from celery.worker import state

from queues.deliveries import RECORDING, Delivery, deliveries
from tasks.ahead import ahead
from tasks.leaving import leave

log = structlog.get_logger()

GONE_MOST = 0.25
"""The share of the slots without which a worker drains and ends."""
RETURN_SECONDS = 5
"""How long a slot that was written off has to come back before it counts as gone: most attempts look every second or so whether
they may go on."""


class Work(NamedTuple):
    """What a thread is to do, and, where that is a delivery's task, for which delivery and as which worker."""

    do: Callable[[], None]
    delivery: Delivery | None
    worker: str


class Stage(Enum):
    """Where a thread is with its job."""

    RUNNING = "running"
    """It has the slot."""
    RECORDING = "recording"


class Slot:
    """The place that a job has while its handler runs. After it has left, it takes none from others."""

    def __init__(self, pool: TaskPool) -> None:
        self._pool = pool
        self.stage = Stage.RUNNING

    def leave(self) -> None:
        """The handler is done: another job may have the place, while this thread records what was made."""
        self._pool.leave_slot(self)

    def write_off(self) -> None:
        """Count on this slot no more until what it does now has ended. Any thread may call it, and more than once."""
        self._pool.write_off(self)


_this_thread = local()


def current_slot() -> Slot | None:
    """The slot that this thread's job has, if it has one."""
    return getattr(_this_thread, "slot", None)


class TaskPool(BasePool):
    """Celery's pool interface over daemon threads."""

    signal_safe = False
    body_can_be_buffer = True

    def __init__(self, limit: int | None = None, **options: Any) -> None:
        super().__init__(limit, **options)
        self._waiting: deque[Work | None] = deque()
        """What there is no slot for yet. None: the next slot goes."""
        self._free = 0
        """The slots that nobody has."""
        self._begun: SimpleQueue[Work | None] = SimpleQueue()
        """What has a slot, and the next thread takes up."""
        self._names = itertools.count(1)
        self._lock = Lock()
        self._at: dict[Slot, Stage] = {}
        """Where each thread that has a job is with it."""
        self._written_off: set[Slot] = set()
        self._is_abandoned = False

    def on_start(self) -> None:
        for _ in range(RECORDING):
            self._add_thread()
        for _ in range(self.limit):
            self._add_slot()

    def on_apply(
        self,
        target: Callable[..., Any],
        args: Any = None,
        kwargs: Any = None,
        callback: Callable[..., Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        **_: Any,
    ) -> None:
        delivery, worker = _whose(args)
        self._put(Work(lambda: apply_target(target, args, kwargs, callback, accept_callback), delivery, worker))

    def grow(self, n: int = 1) -> None:
        """Add slots."""
        for _ in range(n):
            self._add_slot()
        self.limit += n

    def shrink(self, n: int = 1) -> None:
        """Take slots away as they become free; one is always left."""
        taken = min(n, self.limit - 1)
        for _ in range(taken):
            self._put(None)
        self.limit -= taken

    def on_stop(self) -> None:
        """Let what runs come to its end. What has not begun is not begun."""
        ahead().withdraw()
        with self._lock:
            self._waiting.clear()
        with suppress(Empty):
            while True:
                self._begun.get_nowait()
        leave(self.count_busy)

    def count_busy(self) -> int:
        """How many jobs are claimed or worked on, without those whose slots were written off; none after `terminate_job`."""
        with self._lock:
            return 0 if self._is_abandoned else len(self._at) - len(self._written_off) + ahead().count()

    def terminate_job(self, pid: int, signal: int | None = None) -> None:
        """A cold shutdown (SIGQUIT, Ctrl-C twice): the process ends without waiting for what runs.

        A thread can't be killed, and need not be: its job's lease runs out, and another worker goes on with it.
        """
        self._is_abandoned = True

    def leave_slot(self, slot: Slot) -> None:
        """Give another job the place of a job whose handler is done."""
        if slot.stage is not Stage.RUNNING:
            return
        self._reach(slot, Stage.RECORDING)
        self._free_slot()

    def write_off(self, slot: Slot) -> None:
        """Count on `slot` no more until what it does now has ended. A slot that does nothing is not written off."""
        with self._lock:
            if self._at.get(slot) is not Stage.RUNNING or slot in self._written_off:
                return
            self._written_off.add(slot)
            self._tell_written_off()
        timer = Timer(RETURN_SECONDS, self._end_if_too_few)
        timer.daemon = True
        timer.start()

    def _end_if_too_few(self) -> None:
        gone, slots = len(self._written_off), self.limit
        if gone >= slots * GONE_MOST:
            drain(f"{gone} of its {slots} slots hang")

    def _tell_written_off(self) -> None:
        deliveries().set_written_off(len(self._written_off))

    def _reach(self, slot: Slot, stage: Stage | None) -> None:
        """Go on to this stage; None: the job is over."""
        with self._lock:
            if stage is None:
                del self._at[slot]
            else:
                self._at[slot] = slot.stage = stage
            if slot in self._written_off:
                self._written_off.discard(slot)
                self._tell_written_off()
                log.info("a slot that was written off is back")

    def _put(self, work: Work | None) -> None:
        """Have a thread do this once there is a slot; with None, end with the next slot that is free."""
        with self._lock:
            if self._free and not self._waiting:
                self._free -= 1
                self._begun.put(work)
                return
            self._waiting.append(work)
            if work is not None and work.delivery is not None:
                ahead().offer(work.delivery, work.worker)

    def _free_slot(self) -> None:
        """Give what waits longest a slot that was had."""
        with self._lock:
            if self._waiting:
                self._begun.put(self._waiting.popleft())
            else:
                self._free += 1

    def _add_slot(self) -> None:
        self._add_thread()
        self._free_slot()

    def _add_thread(self) -> None:
        Thread(target=self._serve, name=f"slot-{next(self._names)}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            work = self._begun.get()
            if work is None:  # a slot goes, and this thread with it
                return
            slot = _this_thread.slot = Slot(self)
            self._reach(slot, Stage.RUNNING)
            try:
                work.do()
            except BaseException:
                log.exception("a task broke out of its trace")
            finally:
                self._be_free(slot)
                if work.delivery is not None:
                    ahead().forget(work.delivery.tag)

    def _be_free(self, slot: Slot) -> None:
        """The job is over, at whatever stage."""
        _this_thread.slot = None
        had_place = slot.stage is Stage.RUNNING
        self._reach(slot, None)
        if had_place:
            self._free_slot()

    def _get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super()._get_info()
        with self._lock:
            stages = Counter(self._at.values())
        return info | {
            **{stage.value: stages[stage] for stage in Stage},
            "waiting": len(self._waiting) + self._begun.qsize(),
            "claimed-ahead": ahead().count(),
            "written-off": len(self._written_off),
        }


def _whose(args: Any) -> tuple[Delivery | None, str]:
    """The delivery that a call of Celery's trace is for, and the worker."""
    match args:
        case [_, _, {"properties": {"delivery_tag": str() as tag}, "hostname": str() as worker}, *_]:
            return deliveries().get(tag), worker
    return None, ""


def drain(reason: str) -> None:
    """End this worker in order, as SIGTERM does, but with an exit status that makes its host start it anew."""
    if state.should_stop is not None and state.should_stop is not False:
        return  # it ends already
    log.error("the worker drains and ends", reason=reason, exit_status=os.EX_SOFTWARE)
    state.should_stop = os.EX_SOFTWARE
    worker_shutting_down.send(sender=None, sig=None, how="Warm", exitcode=os.EX_SOFTWARE)
