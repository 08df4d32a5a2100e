"""What `celery -A tasks capacity` says of waits and of outages, beside the same load played job by job.

    python -m bench.simulations.waiting

Jobs come at random, each by itself; the one that came first starts in the slot that is free first. They run for a constant
time, an exponential one (as the plan's formula has it), or a widely spread one (log-normal, its deviation twice its mean). The
mean is the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from heapq import heapreplace
from itertools import chain, repeat
from math import ceil, exp, log, sqrt

from jobs.capacity import Load, Plan
from queues.catalogue import KINDS

SEED = 1
JOBS = 200_000
WARM_UP = JOBS // 10
RUN_SECONDS = 40.0
OUTAGE_SECONDS = 600.0
SLOTS_EACH = 16
LOADS = (  # jobs a minute, the share of the time that a slot may be busy
    (10.0, 0.7),
    (20.0, 0.9),
    (22.5, 0.94),
    (1_000.0, 0.7),
    (1_000.0, 0.9),
    (1_000.0, 0.97),
)
SPREAD = 2.0
"""Of the log-normal running times: deviation by mean."""

Draw = Callable[[], float]


def running_times(chance: random.Random) -> dict[str, Draw]:
    """By their distribution; all of the same mean."""
    sigma = sqrt(log(1 + SPREAD**2))
    scale = RUN_SECONDS / exp(sigma**2 / 2)
    return {
        "constant": lambda: RUN_SECONDS,
        "exponential": lambda: chance.expovariate(1 / RUN_SECONDS),
        "spread": lambda: scale * exp(chance.gauss(0, sigma)),
    }


def planned(per_minute: float, use: float) -> Plan:
    return Plan(
        load=Load(kind=KINDS["articles"], per_second=per_minute / 60, run_seconds=RUN_SECONDS),
        use=use,
        slots_each=SLOTS_EACH,
        outage_seconds=OUTAGE_SECONDS,
        lease_seconds=30,
        poll_seconds=20,
    )


def arrivals(per_second: float, chance: random.Random) -> Iterator[float]:
    now = 0.0
    while True:
        now += chance.expovariate(per_second)
        yield now


def waits(came: Iterator[float], slots: int, run: Draw) -> Iterator[tuple[float, float]]:
    """When each job started, and how long it had waited."""
    free = [0.0] * slots
    for at in came:
        start = max(at, free[0])
        heapreplace(free, start + run())
        yield start, start - at


def mean_wait(plan: Plan, run: Draw, chance: random.Random) -> float:
    played = waits(arrivals(plan.load.per_second, chance), plan.slots, run)
    waited = [wait for (_, wait), _ in zip(played, range(JOBS), strict=False)]
    return sum(waited[WARM_UP:]) / (JOBS - WARM_UP)


def mean_drain(plan: Plan, run: Draw, chance: random.Random) -> float:
    """Of the more outages, the fewer jobs wait at the end of one."""
    outages = ceil(10_000 / plan.backlog)
    return sum(drain(plan, run, chance) for _ in range(outages)) / outages


def drain(plan: Plan, run: Draw, chance: random.Random) -> float:
    """From the end of an outage, with every slot free, until the last of the line has started."""
    came = chain(repeat(0.0, plan.backlog), arrivals(plan.load.per_second, chance))
    last = 0.0
    for n, (start, wait) in enumerate(waits(came, plan.slots, run)):
        if n >= plan.backlog and not wait:
            break
        last = start
    return last


def main() -> None:
    head = "| jobs/min | slots | busy | the plan says | constant | exponential | spread |\n|---|---|---|---|---|---|---|"
    plans = [planned(*load) for load in LOADS]
    print(f"Jobs of {RUN_SECONDS:.0f} s on average. Mean wait for a slot, seconds:\n\n{head}")
    print("\n".join(_row(plan, plan.mean_wait_seconds, mean_wait, 2) for plan in plans))
    print(f"\nAfter an outage of {OUTAGE_SECONDS / 60:.0f} min, until nobody waits for it any more, minutes:\n\n{head}")
    print("\n".join(_row(plan, plan.drain_seconds, mean_drain, 1, 60) for plan in plans))


def _row(plan: Plan, said: float, play: Callable[[Plan, Draw, random.Random], float], digits: int, unit: float = 1) -> str:
    chance = random.Random(SEED)
    played = [f"{play(plan, run, chance) / unit:.{digits}f}" for run in running_times(chance).values()]
    load = [f"{plan.load.per_second * 60:g}", str(plan.slots), f"{plan.busy_slots / plan.slots:.0%}"]
    return f"| {' | '.join([*load, f'{said / unit:.{digits}f}', *played])} |"


if __name__ == "__main__":
    main()
