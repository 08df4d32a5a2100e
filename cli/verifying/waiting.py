"""Waiting for what must come about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

LOOK_SECONDS = 0.1

T = TypeVar("T")


class NeverHappened(Exception):
    """What had to come about did not, in a time that is long enough for it."""


def wait_until(condition: Callable[[], T | None], what: str, seconds: float) -> T:
    """What `condition` answers once it answers something true.

    Raises:
        NeverHappened: it did not within `seconds`; the message says `what`.
    """
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise NeverHappened(f"waited {seconds:.0f} s for {what}")
        time.sleep(LOOK_SECONDS)
    return answer
