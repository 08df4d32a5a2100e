"""Waiting out a MongoDB that is away, with the message and the slot held: nothing is given up for it, no receive used up."""

from __future__ import annotations

from collections.abc import Callable
from time import sleep
from typing import TypeVar

import structlog

from jobs.database import DatabaseUnavailable

log = structlog.get_logger()

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 2.0

T = TypeVar("T")


def patiently(ask: Callable[[], T]) -> T:
    """What `ask` answers, asked again until MongoDB is there. It must be harmless to repeat, as every verb of the store is.

    The worker's stop does not wait for it: the threads of the pool are daemons.
    """
    wait = FIRST_WAIT_SECONDS
    while True:
        try:
            answer = ask()
        except DatabaseUnavailable as error:
            if wait == FIRST_WAIT_SECONDS:
                log.warning("MongoDB is away; waiting for it", reason=str(error))
            sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
        else:
            if wait != FIRST_WAIT_SECONDS:
                log.info("MongoDB answers again")
            return answer
