"""What people may do."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What the holder of a key may do."""

    USER = "user"
    """Orders jobs, and sees his own."""
    VIEWER = "viewer"
    """Sees what an operator sees, and changes nothing."""
    OPERATOR = "operator"
    """Sees and changes everything: all users' jobs, queues, dead letters, pauses."""
