"""When a process that ended by itself is started again, as a host would do it."""

from __future__ import annotations

from collections import defaultdict, deque

MOST_ENDS = 5
WITHIN_SECONDS = 60
"""A process that ends so often in so short a time will not get better by being started again."""
FIRST_WAIT_SECONDS = 0.5


class Restarts:
    """Counts how often each process ended. Times are the caller's, in seconds."""

    def __init__(self) -> None:
        self._ends: dict[str, deque[float]] = defaultdict(deque)

    def wait_after(self, name: str, now: float) -> float | None:
        """How long to wait before starting it again after the end that just came; None: no more."""
        ends = self._ends[name]
        ends.append(now)
        while ends[0] <= now - WITHIN_SECONDS:
            ends.popleft()
        return None if len(ends) >= MOST_ENDS else FIRST_WAIT_SECONDS * 2 ** (len(ends) - 1)
