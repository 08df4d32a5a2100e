"""Lines of log, written some together by a thread of their own.

Each write gives the interpreter away, and who logs waits to get it back: on a busy worker several times what the line itself
takes, and every job writes two.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from threading import Event, RLock, Thread
from time import sleep
from typing import TextIO

GATHER_SECONDS = 0.01
"""So long a line waits for others. A kill -9 takes the lines of that time with it."""
URGENT = logging.WARNING
"""A line of this level is written before who logs it goes on, after those that wait."""


class GatheredLines(logging.StreamHandler[TextIO]):
    """Writes lines to a stream in the order in which they came."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: deque[str] = deque()
        self._come = Event()
        self._writing = RLock()  # a signal's handler may log while its thread writes
        Thread(target=self._keep_writing, name="log", daemon=True).start()

    def createLock(self) -> None:  # noqa: N802 - logging's own name
        """None: who makes a line waits for nobody."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Make a line of `record`, and have it written."""
        try:
            self._lines.append(self.format(record) + self.terminator)
            if record.levelno >= URGENT:
                self.flush()
            elif not self._come.is_set():
                self._come.set()
        except Exception:  # noqa: BLE001 - whatever breaks here is said, and hinders nobody
            self.handleError(record)

    def flush(self) -> None:
        """Write what waits."""
        with self._writing:
            lines = []
            while self._lines:
                lines.append(self._lines.popleft())
            self.stream.write("".join(lines))
            self.stream.flush()

    def _keep_writing(self) -> None:
        while True:
            self._come.wait()
            sleep(GATHER_SECONDS)
            self._come.clear()
            with suppress(OSError, ValueError):  # nobody reads any more
                self.flush()
