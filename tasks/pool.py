"""The pool: dozens of slots in one process, on daemon threads.

A job waits for its AI provider nearly all of its time, so a slot needs a thread and not a process. A slot is a place for one
handler: a job is claimed before it has one, and while what it made is recorded the next may have the place, so there are some
threads more than slots. They are daemons: one that hangs can't keep its process from ending. Its slot can be written off: then
the process takes a job less at a time, until the thread comes back; with a quarter of its slots gone the worker drains and
ends, for its host to start it anew.
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
from typing import Any

import structlog
from celery.concurrency.base import BasePool, apply_target
from celery.signals import worker_shutting_down
from celery.worker import state

from queues.deliveries import AT_EACH_END, deliveries
from tasks.leaving import leave

log = structlog.get_logger()

GONE_MOST = 0.25
"""The share of the slots without which a worker drains and ends."""
RETURN_SECONDS = 5
"""How long a slot that was written off has to come back before it counts as gone: most attempts look every second or so whether
they may go on."""

CLAIMING = RECORDING = AT_EACH_END
"""So many jobs at most are claimed, and so many recorded, beside those whose handlers run."""

Work = Callable[[], None]


class Stage(Enum):
    """Where a thread is with its job."""

    CLAIMING = "claiming"
    RUNNING = "running"
    """It has the slot."""
    RECORDING = "recording"


class Slot:
    """The place that a job has while its handler runs. Before it enters and after it has left, it takes none from others."""

    def __init__(self, pool: TaskPool) -> None:
        self._pool = pool
        self.stage = Stage.CLAIMING

    def enter(self, seconds: float) -> bool:
        """Take the place, waiting for it so long at most; whether it is taken. Who has it keeps it."""
        return self.stage is Stage.RUNNING or self._pool.enter_slot(self, seconds)

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
        """What no thread may begin with yet."""
        self._may_begin = CLAIMING
        """So many more threads may begin with a job: one for each slot, and those beside."""
        self._begun: SimpleQueue[Work | None] = SimpleQueue()
        """What the next thread takes up."""
        self._free: SimpleQueue[None] = SimpleQueue()
        """The slots that nobody has. (As `Semaphore` is, at a fifth of its time.)"""
        self._names = itertools.count(1)
        self._lock = Lock()
        self._at: dict[Slot, Stage] = {}
        """Where each thread that has a job is with it."""
        self._written_off: set[Slot] = set()
        self._is_abandoned = False

    def on_start(self) -> None:
        for _ in range(CLAIMING + RECORDING):
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
        self._put(lambda: apply_target(target, args, kwargs, callback, accept_callback))

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
        with self._lock:
            self._waiting.clear()
        with suppress(Empty):
            while True:
                self._begun.get_nowait()
        leave(self.count_busy)

    def count_busy(self) -> int:
        """How many jobs are worked on, without those whose slots were written off; none after `terminate_job`."""
        with self._lock:
            return 0 if self._is_abandoned else len(self._at) - len(self._written_off)

    def terminate_job(self, pid: int, signal: int | None = None) -> None:
        """A cold shutdown (SIGQUIT, Ctrl-C twice): the process ends without waiting for what runs.

        A thread can't be killed, and need not be: its job's lease runs out, and another worker goes on with it.
        """
        self._is_abandoned = True

    def enter_slot(self, slot: Slot, seconds: float) -> bool:
        """Give the place to a claimed job, once there is one; whether there was, within `seconds`."""
        try:
            self._free.get(timeout=seconds)
        except Empty:
            return False
        self._reach(slot, Stage.RUNNING)
        return True

    def leave_slot(self, slot: Slot) -> None:
        """Give another job the place of a job whose handler is done."""
        if slot.stage is not Stage.RUNNING:
            return
        self._reach(slot, Stage.RECORDING)
        self._free.put(None)
        self._let_begin(1)

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
        """Have a thread do this, or end with a slot that is free."""
        with self._lock:
            self._waiting.append(work)
        self._let_begin(0)

    def _let_begin(self, more: int) -> None:
        """Let so many more threads begin with a job. What waits is taken up by as many as may."""
        with self._lock:
            self._may_begin += more
            while self._may_begin and self._waiting:
                self._may_begin -= 1
                self._begun.put(self._waiting.popleft())

    def _add_slot(self) -> None:
        self._add_thread()
        self._free.put(None)
        self._let_begin(1)

    def _add_thread(self) -> None:
        Thread(target=self._serve, name=f"slot-{next(self._names)}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            work = self._begun.get()
            if work is None:  # a slot goes, and this thread with it
                self._free.get()
                return
            slot = _this_thread.slot = Slot(self)
            self._reach(slot, Stage.CLAIMING)
            try:
                work()
            except BaseException:
                log.exception("a task broke out of its trace")
            finally:
                self._be_free(slot)

    def _be_free(self, slot: Slot) -> None:
        """The job is over, at whatever stage."""
        _this_thread.slot = None
        stage = slot.stage
        self._reach(slot, None)
        if stage is Stage.RUNNING:
            self._free.put(None)
        if stage is not Stage.RECORDING:
            self._let_begin(1)

    def _get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super()._get_info()
        with self._lock:
            stages = Counter(self._at.values())
        return info | {
            **{stage.value: stages[stage] for stage in Stage},
            "waiting": len(self._waiting) + self._begun.qsize(),
            "written-off": len(self._written_off),
        }


def drain(reason: str) -> None:
    """End this worker in order, as SIGTERM does, but with an exit status that makes its host start it anew."""
    if state.should_stop is not None and state.should_stop is not False:
        return  # it ends already
    log.error("the worker drains and ends", reason=reason, exit_status=os.EX_SOFTWARE)
    state.should_stop = os.EX_SOFTWARE
    worker_shutting_down.send(sender=None, sig=None, how="Warm", exitcode=os.EX_SOFTWARE)
