"""How the queues are: what SQS and MongoDB say of each kind, beside each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jobs.backlog import Backlog, backlogs
from jobs.depths import depths
from jobs.draining import Drain, drains
from jobs.pauses import Pause, pauses
from jobs.workers import workers
from queues.catalogue import Kind
from queues.status import KindDepth


@dataclass(frozen=True, kw_only=True)
class Overview:
    """A kind's queues and jobs at one time."""

    kind: str
    depth: KindDepth
    backlog: Backlog
    receives_per_minute: float
    """Messages that the workers now running received, over the last five minutes; they say so at each beat."""
    workers: int
    """How many run and receive this kind."""
    pause: Pause | None
    drain: Drain | None


def overview(kinds: Iterable[Kind]) -> list[Overview]:
    """How these kinds are.

    Raises:
        QueueError: SQS is away or refuses. (A missing queue is no error.)
        DatabaseUnavailable: MongoDB is away.
    """
    wanted = [*kinds]
    found = depths(wanted)
    counted = backlogs(kind.name for kind in wanted)
    running, paused, draining = workers(), pauses().known(), drains().all()
    return [
        Overview(
            kind=kind.name,
            depth=found[kind.name],
            backlog=counted[kind.name],
            receives_per_minute=sum(worker.receives_per_minute.get(kind.name, 0) for worker in running),
            workers=sum(kind.name in worker.kinds for worker in running),
            pause=paused.get(kind.name),
            drain=draining.get(kind.name),
        )
        for kind in wanted
    ]
