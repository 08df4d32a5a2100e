"""How deep the queues are, asked at most once in some seconds, however many scrape, and never for long."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from functools import cache
from threading import Lock
from time import monotonic

import structlog

from jobs.database import DatabaseUnavailable
from jobs.depths import depths
from queues.catalogue import KINDS
from queues.clients import QueueError
from queues.status import KindDepth

log = structlog.get_logger()

HOLDS_SECONDS = 5.0
PATIENCE_SECONDS = 4.0
"""Prometheus gives a scrape ten seconds; SQS being slow must not cost it the other metrics."""


class QueueDepths:
    """What SQS says of every kind's queues; None where it does not answer."""

    def __init__(self) -> None:
        self._asking = ThreadPoolExecutor(1, "queue-depths")
        self._seen: Mapping[str, KindDepth] | None = None
        self._until = 0.0
        self._lock = Lock()

    def __call__(self) -> Mapping[str, KindDepth] | None:
        with self._lock:
            if monotonic() >= self._until:
                self._seen = self._ask()
                self._until = monotonic() + HOLDS_SECONDS
            return self._seen

    def _ask(self) -> Mapping[str, KindDepth] | None:
        try:
            return self._asking.submit(depths, KINDS.values()).result(PATIENCE_SECONDS)
        except (QueueError, DatabaseUnavailable, TooLate) as error:
            log.warning("no depths of queues; SQS does not answer", reason=str(error) or "it takes too long")
            return None


@cache
def queue_depths() -> QueueDepths:
    """The process's."""
    return QueueDepths()
