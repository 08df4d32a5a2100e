"""A look at MongoDB that holds for a second: what every job asks for must not cost every job a request.

Where nobody may wait for a look, a thread keeps looking.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread
from time import monotonic
from typing import Generic, TypeVar

from jobs.database import DatabaseUnavailable

HOLDS_SECONDS = 1.0
KEPT_SECONDS = 2.0
"""Between two looks of the thread that keeps looking."""

T = TypeVar("T")


class Glance(Generic[T]):
    """What `look` answered last, looked again at most once a second, or as told. With MongoDB away, it holds on."""

    def __init__(self, look: Callable[[], T], *, at_first: T, holds_seconds: float = HOLDS_SECONDS) -> None:
        self._look = look
        self._holds_seconds = holds_seconds
        self._seen = at_first
        self._until = 0.0
        self._forgotten = 0
        """How often what was seen was forgotten."""
        self._lock = Lock()

    def __call__(self) -> T:
        with self._lock:
            if monotonic() >= self._until:
                with suppress(DatabaseUnavailable):  # whoever writes finds out, and says so
                    self._seen = self._look()
                self._until = monotonic() + self._holds_seconds
            return self._seen

    def forget(self) -> None:
        """Look again next time: this process has just changed what there is to see."""
        with self._lock:
            self._forgotten += 1
            self._until = 0.0

    def keep(self) -> None:
        """From now on look every two seconds, on a thread. With MongoDB away, whoever asks looks himself."""
        self._holds_seconds = max(self._holds_seconds, KEPT_SECONDS * 1.5)
        Thread(target=self._keep_looking, name="glance", daemon=True).start()

    def _keep_looking(self) -> None:
        waiting = Event()
        while not waiting.wait(KEPT_SECONDS):
            with suppress(DatabaseUnavailable):
                forgotten, seen = self._forgotten, self._look()
                with self._lock:
                    if forgotten == self._forgotten:  # or it may have been read before the change
                        self._seen, self._until = seen, monotonic() + self._holds_seconds
