"""Looks at MongoDB, one for each key, that hold for a few seconds: what every request asks for need not cost each one a look.

Unlike a `jobs.glance`, with MongoDB away they do not hold on: who may come in is not to be guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

HOLDS_SECONDS = 3.0
"""A key that is revoked works on for at most so long."""
MOST = 10_000
"""So many are held; beyond that all are looked at anew."""

T = TypeVar("T")


class Moments(Generic[T]):
    """What `look` found under a key; what it did not find is not held, so that guesses fill nothing."""

    def __init__(self, look: Callable[[str], T | None], holds_seconds: float = HOLDS_SECONDS) -> None:
        self._look = look
        self._holds_seconds = holds_seconds
        self._held: dict[str, tuple[T, float]] = {}
        self._lock = Lock()

    def __call__(self, key: str) -> T | None:
        with self._lock:
            found, until = self._held.get(key, (None, 0.0))
        if found is not None and monotonic() < until:
            return found
        seen = self._look(key)
        with self._lock:
            if len(self._held) >= MOST:
                self._held.clear()
            if seen is None:
                self._held.pop(key, None)
            else:
                self._held[key] = seen, monotonic() + self._holds_seconds
        return seen

    def forget(self, key: str) -> None:
        """Look again next time: this process has just changed what there is to see."""
        with self._lock:
            self._held.pop(key, None)
