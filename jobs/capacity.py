"""How many slots and workers a load needs, how long the line is after an outage, and what SQS is asked for it.

Little's law gives the slots that are busy (rate times running time), Erlang's C formula how long a job waits for one. Both take
jobs to come at random, each by itself; what comes in bursts waits longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf

from jobs.counters import counted
from queues import limits
from queues.catalogue import Kind

RUN_SECONDS = "job_run_seconds"
SECONDS_A_MONTH = 30 * 86_400
SETTLED_TOGETHER_SECONDS = 0.05
"""Messages that one process settles within this time go in one request."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What comes: so many jobs a second of a kind, each running so long."""

    kind: Kind
    per_second: float
    run_seconds: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a load needs, with slots in use for the share `use` of the time, `slots_each` of them in a process."""

    load: Load
    use: float
    slots_each: int
    outage_seconds: float
    lease_seconds: float
    poll_seconds: float

    @property
    def busy_slots(self) -> float:
        """On average (Little's law)."""
        return self.load.per_second * self.load.run_seconds

    @property
    def workers(self) -> int:
        """Processes."""
        return ceil(max(1, ceil(self.busy_slots / self.use)) / self.slots_each)

    @property
    def slots(self) -> int:
        return self.workers * self.slots_each

    @property
    def most_per_second(self) -> float:
        """What these slots get done."""
        return self.slots / self.load.run_seconds

    @property
    def mean_wait_seconds(self) -> float:
        """For a free slot, on average."""
        spare = self.most_per_second - self.load.per_second
        return must_wait(self.slots, self.busy_slots) / spare if spare > 0 else inf

    @property
    def backlog(self) -> int:
        """Jobs that wait when an outage ends."""
        return ceil(self.load.per_second * self.outage_seconds)

    @property
    def drain_seconds(self) -> float:
        """From the end of an outage until nobody waits for it any more."""
        spare = self.most_per_second - self.load.per_second
        return self.backlog / spare if spare > 0 else inf

    @property
    def requests_a_job(self) -> dict[str, float]:
        """What SQS is asked for one job: sent by itself, received and settled with what comes to its process at that time."""
        together = 1 + self.load.per_second / self.workers * SETTLED_TOGETHER_SECONDS
        beats = int(self.load.run_seconds / (self.lease_seconds / 3))
        held = max(1.0, self.busy_slots / self.workers)
        return {
            "send": 1,
            "receive": 1 / min(together, limits.BATCH_MESSAGES),
            "delete": 1 / min(together, limits.BATCH_MESSAGES),
            "renew": beats * ceil(held / limits.BATCH_MESSAGES) / held,
        }

    @property
    def requests_a_month(self) -> float:
        """With the long polls that find nothing, were the workers idle all the time: the most it can be."""
        idle = self.workers * len(self.load.kind.lanes) * SECONDS_A_MONTH / max(self.poll_seconds, 1)
        return self.load.per_second * SECONDS_A_MONTH * sum(self.requests_a_job.values()) + idle

    @property
    def warnings(self) -> list[str]:
        """What stands in the way, with the remedy."""
        found = []
        if self.busy_slots > limits.IN_FLIGHT:
            shards = ceil(self.busy_slots / limits.IN_FLIGHT / self.use)
            found.append(
                f"{self.busy_slots:,.0f} messages in flight are more than the {limits.IN_FLIGHT:,} that SQS allows a queue:"
                f" split the load over {shards} installations or regions (docs/scaling.md)."
            )
        if self.load.kind.fifo and self.load.per_second > limits.FIFO_PER_SECOND:
            found.append(
                f"A FIFO queue takes {limits.FIFO_PER_SECOND} requests a second of each action without high throughput, which"
                " `celery -A tasks queues apply` switches on: look whether your region's quota is enough (docs/scaling.md)."
            )
        if self.load.run_seconds > self.load.kind.max_seconds:
            found.append(f"A job of this kind is ended after {self.load.kind.max_seconds:,} s (max_seconds in the catalogue).")
        return found


def must_wait(servers: int, busy: float) -> float:
    """The share of those who come that find all servers busy (Erlang C); 1 where the load is too much."""
    if busy >= servers:
        return 1.0
    blocked = 1.0  # Erlang B, by its recursion
    for n in range(1, servers + 1):
        blocked = busy * blocked / (n + busy * blocked)
    return servers * blocked / (servers - busy * (1 - blocked))


def measured_run_seconds(kind: Kind) -> tuple[float, int] | None:
    """How long the attempts of a kind took on average, and how many they were; None before the first.

    Raises:
        DatabaseUnavailable: MongoDB is away.
    """
    found = [each for each in counted() if each.name == RUN_SECONDS and each.labels.get("kind") == kind.name]
    n = sum(each.n for each in found)
    return (sum(each.sum for each in found) / n, int(n)) if n else None
