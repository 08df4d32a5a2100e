"""The pool: dozens of slots in one process, a daemon thread each.

A job waits for its AI provider nearly all of its time, so a slot needs a thread and not a process. The threads are daemons: a
slot that hangs can't keep its process from ending.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from queue import SimpleQueue
from threading import Condition, Thread
from typing import Any

import structlog
from celery.concurrency.base import BasePool, apply_target

log = structlog.get_logger()

Work = Callable[[], None]


class TaskPool(BasePool):
    """Celery's pool interface over daemon threads."""

    signal_safe = False
    body_can_be_buffer = True

    def __init__(self, limit: int | None = None, **options: Any) -> None:
        super().__init__(limit, **options)
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._names = itertools.count(1)
        self._idle = Condition()
        self._running = 0
        self._is_abandoned = False

    def on_start(self) -> None:
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
        self._work.put(lambda: apply_target(target, args, kwargs, callback, accept_callback))

    def grow(self, n: int = 1) -> None:
        """Add slots."""
        for _ in range(n):
            self._add_slot()
        self.limit += n

    def shrink(self, n: int = 1) -> None:
        """Take slots away as they become free; one is always left."""
        taken = min(n, self.limit - 1)
        for _ in range(taken):
            self._work.put(None)
        self.limit -= taken

    def on_stop(self) -> None:
        """Let what runs come to its end. What has not begun is not begun."""
        while not self._work.empty():
            self._work.get()
        with self._idle:
            self._idle.wait_for(lambda: self._is_abandoned or self._running == 0)

    def terminate_job(self, pid: int, signal: int | None = None) -> None:
        """A cold shutdown (SIGQUIT, Ctrl-C twice): the process ends without waiting for what runs.

        A thread can't be killed, and need not be: its job's lease runs out, and another worker goes on with it.
        """
        self._is_abandoned = True

    def _add_slot(self) -> None:
        Thread(target=self._serve, name=f"slot-{next(self._names)}", daemon=True).start()

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            with self._idle:
                self._running += 1
            try:
                work()
            except BaseException:
                log.exception("a task broke out of its trace")
            finally:
                with self._idle:
                    self._running -= 1
                    self._idle.notify_all()

    def _get_info(self) -> dict[str, Any]:
        info: dict[str, Any] = super()._get_info()
        return info | {"running": self._running, "waiting": self._work.qsize()}
