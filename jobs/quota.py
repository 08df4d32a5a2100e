"""How many jobs a user may have open at a time (`USER_ACTIVE_JOBS`)."""

from __future__ import annotations

UNLIMITED = 1_000_000
"""Room where no limit is set."""


def room_for(user_id: str) -> int:
    """How many more jobs the user may order now; 0 or less: none."""
    return UNLIMITED
