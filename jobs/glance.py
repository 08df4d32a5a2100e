"""A look at MongoDB that holds for a second: what every job asks for must not cost every job a request."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

from jobs.database import DatabaseUnavailable

HOLDS_SECONDS = 1.0

T = TypeVar("T")


class Glance(Generic[T]):
    """What `look` answered last, looked again at most once a second, or as told. With MongoDB away, it holds on."""

    def __init__(self, look: Callable[[], T], *, at_first: T, holds_seconds: float = HOLDS_SECONDS) -> None:
        self._look = look
        self._holds_seconds = holds_seconds
        self._seen = at_first
        self._until = 0.0
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
            self._until = 0.0
