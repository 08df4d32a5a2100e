"""How fast deliveries are looked after: all from `LEASE_SECONDS`. In brackets: the seconds at its default, 30."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Self

from settings import settings

DISPATCH_SECONDS_MOST = 6 * 3600
"""A job that nobody heard of is sent again at the latest after this time."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """All in seconds."""

    lease: float
    """How long a claim holds unless it is renewed (30)."""
    beat: float
    """Between two renewals (10)."""
    look: float
    """Between two looks for lost leases and cancels (3)."""
    dispatch: float
    """How long whoever took a dispatch has to send its message before the relay does (10)."""
    round: float
    """Between two rounds of the relay, in its own process and in each worker (10)."""
    quiet: float
    """After its connection to MongoDB opened or came back, a process takes no job over for so long (15)."""
    overdue: float
    """A lease that ended so long ago, and that no delivery took over, is swept up (30)."""
    short: float
    """A queue that shows too few messages for so long has lost some (120)."""
    silent: float
    """A sent job of which nothing was heard for so long, doubled with each send, is sent again (600)."""
    alive: float
    """A receive loop that made no attempt for so long is stuck (60)."""

    @classmethod
    def of(cls, lease_seconds: float) -> Self:
        return cls(
            lease=lease_seconds,
            beat=lease_seconds / 3,
            look=min(3, lease_seconds / 3),
            dispatch=lease_seconds / 3,
            round=lease_seconds / 3,
            quiet=lease_seconds / 2,
            overdue=lease_seconds,
            short=lease_seconds * 4,
            silent=lease_seconds * 20,
            alive=lease_seconds * 2,
        )


@cache
def pace() -> Pace:
    """The pace of this process."""
    return Pace.of(settings().lease_seconds)
