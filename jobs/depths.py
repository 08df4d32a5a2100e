"""How deep the queues are: as SQS says, or without it as MongoDB does."""

from __future__ import annotations

from collections.abc import Iterable

from jobs.here import line
from queues import status
from queues.catalogue import Kind
from queues.status import KindDepth
from settings import settings


def depths(kinds: Iterable[Kind]) -> dict[str, KindDepth]:
    """The depths of these kinds' queues, by kind.

    Raises:
        QueueError: SQS is away or refuses. (A missing queue is no error.)
        DatabaseUnavailable: there is no SQS, and MongoDB is away.
    """
    return status.depths(kinds) if settings().uses_sqs else line().depths(kinds)
