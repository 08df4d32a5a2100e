"""What SQS says of the queues: how deep each lane and each dead-letter queue is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from queues.catalogue import Kind
from queues.clients import QueueMissing
from queues.queue import Depth, Queue, dead_letters_of, queue_for

AT_ONCE = 8
"""Requests: a look at dozens of queues should not take seconds."""


@dataclass(frozen=True, kw_only=True)
class KindDepth:
    """The queues of a kind. A queue that does not exist is None."""

    lanes: dict[str, Depth | None]
    dead_letters: Depth | None
    missing: list[str]
    """The names of the queues that do not exist."""

    @property
    def total(self) -> Depth:
        """The lanes summed."""
        return sum((depth for depth in self.lanes.values() if depth), Depth())


def depths(kinds: Iterable[Kind]) -> dict[str, KindDepth]:
    """The depths of these kinds' queues, by kind.

    Raises:
        QueueError: SQS is away or refuses. (A missing queue is no error.)
    """
    wanted = list(kinds)
    queues = {kind.name: [*(queue_for(kind.name, lane) for lane in kind.lanes), dead_letters_of(kind.name)] for kind in wanted}
    every = [queue for of_kind in queues.values() for queue in of_kind]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(every, pool.map(_depth, every), strict=True))
    return {kind.name: _kind_depth(kind, queues[kind.name], found) for kind in wanted}


def _kind_depth(kind: Kind, queues: Sequence[Queue], found: Mapping[Queue, Depth | None]) -> KindDepth:
    """`queues` are those of the lanes, then that of the dead letters."""
    *lanes, dead_letters = queues
    return KindDepth(
        lanes={lane: found[queue] for lane, queue in zip(kind.lanes, lanes, strict=True)},
        dead_letters=found[dead_letters],
        missing=[queue.name for queue in queues if found[queue] is None],
    )


def _depth(queue: Queue) -> Depth | None:
    try:
        return queue.depth()
    except QueueMissing:
        return None
