"""Naming in jobs the messages that were just sent for them.

A name that is never written costs a copy of the message, which says nothing new: whoever relays sends the job once more. So a
process that answers users has it written behind their backs; any other waits until it is.
"""

from __future__ import annotations

import atexit
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from queue import SimpleQueue
from threading import Event, Thread

import structlog

from jobs.database import DatabaseUnavailable
from jobs.store import store

log = structlog.get_logger()

LAST_NAMES_SECONDS = 2
GATHER_SECONDS = 0.5
"""How long a name waits for others to share its request. Nobody waits for it; a claim that comes before writes it."""

Names = Mapping[str, str]
"""Of messages, by the jobs' ids."""


class Naming:
    """Of a process."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[int, Names] | Event] = SimpleQueue()
        self._in_background = False
        self._must_hurry = Event()
        """Somebody waits for what is not written."""

    def start(self) -> None:
        """From now on nobody waits for names; what is left of them at the process's end is written then."""
        if not self._in_background:
            self._in_background = True
            Thread(target=self._run, name="naming", daemon=True).start()
            atexit.register(self.flush, LAST_NAMES_SECONDS)

    def name(self, names: Names, *, n: int) -> None:
        """Name these messages of dispatch `n`."""
        if self._in_background:
            self._waiting.put((n, names))
        else:
            write_names(names, n=n)

    def flush(self, seconds: float) -> bool:
        """Wait until what was given before is written; whether it was, within `seconds`."""
        if not self._in_background:
            return True
        done = Event()
        self._must_hurry.set()
        self._waiting.put(done)
        try:
            return done.wait(seconds)
        finally:
            self._must_hurry.clear()

    def _run(self) -> None:
        while True:
            entry = self._waiting.get()
            self._must_hurry.wait(GATHER_SECONDS)
            by_dispatch: dict[int, dict[str, str]] = defaultdict(dict)
            flushed: list[Event] = []
            while True:  # whatever came while the last were written
                if isinstance(entry, Event):
                    flushed.append(entry)
                else:
                    by_dispatch[entry[0]] |= entry[1]
                if self._waiting.empty():
                    break
                entry = self._waiting.get()
            try:
                for n, names in by_dispatch.items():
                    write_names(names, n=n)
            except Exception:
                log.exception("messages could not be named; their jobs are sent again")
            for event in flushed:
                event.set()


def write_names(names: Names, *, n: int) -> bool:
    """Name these messages of dispatch `n` now; whether they are, which they are not with MongoDB away."""
    try:
        store().mark_sent(names, n=n)
    except DatabaseUnavailable as error:  # the jobs are recorded and sent; a claim names their messages
        log.warning("sent, the messages not named", jobs=len(names), reason=str(error))
        return False
    return True


@cache
def naming() -> Naming:
    """The process's."""
    return Naming()
