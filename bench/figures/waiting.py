"""Jobs that wait, for a worker or for their provider: pick-up, slots, the beat, and an idle worker."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack

from bench.asked import Asked
from bench.ground import Ground, wait_until
from bench.processes import Running
from bench.systems import LOOP, Pressroom, System
from bench.table import Row, at_most, percentile
from bench.work import RESULTS

PICKED_UP = 100
PAUSE_SECONDS = 0.2, 0.8
SLOTS = 500
SLEEP_SECONDS = 2.0
HELD_SECONDS = 60.0
SETTLE_SECONDS = 5.0


def measure_pickup(ground: Ground, asked: Asked) -> Iterator[Row | str]:
    """Both workers idle side by side; a job for the one, then one for the other. A hundred each a round."""
    own = Pressroom()
    systems: list[System] = [own, LOOP]
    waits: dict[str, list[float]] = {system.name: [] for system in systems}
    with ExitStack() as running:
        for system in systems:
            running.enter_context(system.worker(ground))
            system.warm(ground, jobs=20)
        for _ in range(PICKED_UP * asked.rounds):
            for system in systems:
                time.sleep(random.uniform(*PAUSE_SECONDS) / len(systems))
                sent = time.time()
                job_id = system.submit_one(ground)
                wait_until(lambda system=system, job_id=job_id: system.began(ground, job_id), "the job", look_seconds=0.05)
                waits[system.name].append((system.began(ground, job_id) or sent) - sent)
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        ours, theirs = (percentile(waits[system.name], share) * 1000 for system in (own, LOOP))
        yield at_most(
            f"pick-up of an idle worker, {name}",
            ours / theirs,
            1.1,
            unit="×",
            measured=f"{ours:.1f} ms = {ours / theirs:.2f} ×",
            beside=f"{theirs:.1f} ms",
        )


def measure_slots(ground: Ground, asked: Asked) -> Iterator[Row | str]:
    own = Pressroom()
    with own.worker(ground, slots=SLOTS) as worker:
        own.warm(ground)
        time.sleep(SETTLE_SECONDS)
        own.clear(ground)
        own.submit(ground, SLOTS, {"seconds": SLEEP_SECONDS})
        memory = 0.0
        while own.completed(ground) < SLOTS:
            memory = max(memory, worker.resident_mib)
            time.sleep(0.2)
        starts = sorted(result["began"] for result in ground.database[RESULTS].find())
        runs = sum(job["attempts"] + job["crashes"] for job in ground.database[own.collection].find({"kind": "tiny"}))
        last = ground.database[own.collection].find_one(sort=[("finished_at", -1)], projection=["finished_at"])
    assert last is not None
    at_once = max(sum(start <= at < start + SLEEP_SECONDS for start in starts) for at in starts)
    spread, whole = starts[-1] - starts[0], last["finished_at"].timestamp() - starts[0]
    yield at_most(
        f"memory with {SLOTS} slots at work",
        memory,
        250,
        unit="MiB",
        measured=f"{memory:.0f} MiB, {at_once} at once, {runs - SLOTS} double runs",
    )
    yield at_most(f"the last of {SLOTS} jobs starts after the first", spread, 2, unit="s", measured=f"{spread:.2f} s")
    yield at_most(
        f"{SLOTS} jobs of {SLEEP_SECONDS:g} s end after the first start", whole, 4, unit="s", measured=f"{whole:.2f} s"
    )


def measure_beat(ground: Ground, asked: Asked) -> Iterator[Row | str]:
    """All the processor time of a process whose 500 slots sleep: the beat, and whatever else goes on."""
    own = Pressroom()
    with own.worker(ground, slots=SLOTS) as worker:
        own.warm(ground)
        own.clear(ground)
        own.submit(ground, SLOTS, {"seconds": HELD_SECONDS})
        running = {"kind": "tiny", "status": "processing"}
        wait_until(lambda: ground.database[own.collection].count_documents(running) == SLOTS, "all to start")
        time.sleep(SETTLE_SECONDS)
        share = _share_of_core(worker, 40)
        worker.kill()
    own.clear(ground)
    yield at_most(f"beat for {SLOTS} held jobs", share, 3, unit="% of a core", measured=f"{share:.2f} %")


def measure_idle(ground: Ground, asked: Asked) -> Iterator[Row | str]:
    """A minute of two idle workers, one with monitoring as shipped, one without; queues of their own."""
    own = Pressroom()
    with own.worker(ground) as worker:
        own.warm(ground)
        time.sleep(SETTLE_SECONDS)
        receives, cpu = ground.requests(own.queue)["ReceiveMessage"], worker.cpu_seconds
        time.sleep(60)
        receives, cpu = ground.requests(own.queue)["ReceiveMessage"] - receives, worker.cpu_seconds - cpu
    with own.worker(ground, BENCH_MONITORING="off") as worker:
        own.warm(ground)
        time.sleep(SETTLE_SECONDS)
        silent = worker.cpu_seconds
        time.sleep(60)
        silent = worker.cpu_seconds - silent
    yield at_most("receives of an idle worker in a minute, for each SQS queue", receives, 3, measured=str(receives))
    yield at_most(
        "CPU of an idle worker in a minute",
        cpu * 1000,
        250,
        unit="ms",
        measured=f"{cpu * 1000:.0f} ms",
        beside=f"{silent * 1000:.0f} ms without monitoring",
    )


def _share_of_core(worker: Running, seconds: float) -> float:
    began, cpu = time.monotonic(), worker.cpu_seconds
    time.sleep(seconds)
    used = worker.cpu_seconds - cpu
    return used / (time.monotonic() - began) * 100
