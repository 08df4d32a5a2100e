"""How often something happens: a count over the last minutes, kept in the process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic

MINUTES = 5
"""The time over which rates are told, everywhere."""


class PerMinute:
    """Counts, and answers how many a minute there were in the last five minutes. For one writer and one reader."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._counted: deque[tuple[int, int]] = deque(maxlen=MINUTES * 60 + 1)
        """Second and count, the oldest first; a second stands once."""

    def count(self, n: int = 1) -> None:
        second = int(self._clock())
        if self._counted and self._counted[-1][0] == second:
            n += self._counted.pop()[1]
        self._counted.append((second, n))

    @property
    def rate(self) -> float:
        since = self._clock() - MINUTES * 60
        return sum(n for second, n in list(self._counted) if second > since) / MINUTES
