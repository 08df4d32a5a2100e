"""What keeps the laptop's stack from running."""

from __future__ import annotations


class StackError(Exception):
    """The stack can't run; the message is one line that names the remedy."""
