"""Waiting for a service without losing sight of the job.

A read from a socket may take minutes and can't be interrupted, but a cancelled job must stop within a second or so. So the
service is talked to in a thread of its own, while the job's thread asks `call.check`. Where the job stops first, that thread
is left behind: it ends with its next byte, or with the read timeout.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TypeVar

from jobs.errors import ProviderUnavailable, ProviderUnreachable
from providers.base import Call

CHECK_SECONDS = 1.0
LOOKS_IN_VAIN = 5
"""So often in a row a service may fail to say how far a generation is."""

T = TypeVar("T")


class _End(Exception):
    """The work has nothing more to give."""


def waiting(call: Call, work: Callable[[], Generator[T, None, None]]) -> Iterator[T]:
    """What `work` yields, as it comes; `call.check` is asked before each item, and every second while there is none.

    What `work` raises is raised here. When the caller stops first, `work` is closed at its next `yield`.
    """
    came: SimpleQueue[T | Exception] = SimpleQueue()
    given_up = Event()

    def run() -> None:
        items = work()
        try:
            for item in items:
                if given_up.is_set():
                    break
                came.put(item)
            came.put(_End())
        except Exception as error:  # noqa: BLE001 - nothing is swallowed: the job's thread raises it
            came.put(error)
        finally:
            items.close()

    call.check()
    Thread(target=copy_context().run, args=(run,), name="provider-call", daemon=True).start()
    try:
        while True:
            try:
                item = came.get(timeout=CHECK_SECONDS)
            except Empty:
                call.check()
                continue
            if isinstance(item, _End):
                return
            if isinstance(item, Exception):
                raise item
            call.check()
            yield item
    finally:
        given_up.set()


def waited(call: Call, ask: Callable[[], T]) -> T:
    """What `ask` returns; `call.check` is asked every second meanwhile."""

    def work() -> Generator[T, None, None]:
        yield ask()

    return next(iter(waiting(call, work)))


def looked(call: Call, ask: Callable[[], T], *, pause_seconds: float) -> T:
    """What `ask` answers of a generation that is under way, asked again after a while where the service fails to answer.

    Of thousands of looks in an hour some fail, and what is made goes on meanwhile: an attempt is too dear for that. Raised at
    once is what the guard must know, no connection, and what says itself how long to wait.
    """
    for vain in range(LOOKS_IN_VAIN):
        try:
            return waited(call, ask)
        except ProviderUnreachable:
            raise
        except ProviderUnavailable as error:
            if error.retry_after_seconds is not None:
                raise
            call.pause(pause_seconds * 2**vain)
    return waited(call, ask)
