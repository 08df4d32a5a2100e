"""Lines of log, made and written some together by a thread of their own.

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
        self._waiting: deque[logging.LogRecord | str] = deque()
        self._come = Event()
        self._writing = RLock()  # a signal's handler may log while its thread writes
        Thread(target=self._keep_writing, name="log", daemon=True).start()

    def createLock(self) -> None:
        """None: who makes a line waits for nobody."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Have a line made of `record`, and written."""
        is_ours = isinstance(record.msg, dict)  # it knows its time and context; another library's gets them with its line
        self._waiting.append(record if is_ours and record.levelno < URGENT else self._line(record))
        if record.levelno >= URGENT:
            try:
                self.flush()
            except Exception:  # noqa: BLE001 - it is said, and hinders nobody
                self.handleError(record)
        elif not self._come.is_set():
            self._come.set()

    def flush(self) -> None:
        """Write what waits."""
        with self._writing:
            lines = []
            while self._waiting:
                one = self._waiting.popleft()
                lines.append(one if isinstance(one, str) else self._line(one))
            self.stream.write("".join(lines))
            self.stream.flush()

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record) + self.terminator
        except Exception:  # noqa: BLE001 - it is said, and hinders nobody
            self.handleError(record)
            return ""

    def _keep_writing(self) -> None:
        while True:
            self._come.wait()
            sleep(GATHER_SECONDS)
            self._come.clear()
            with suppress(OSError, ValueError):  # nobody reads any more
                self.flush()
