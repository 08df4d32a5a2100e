"""Jobs whose worker dies, leaves or is slower than a lease."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

from bench.asked import Asked
from bench.ground import Ground, wait_until
from bench.systems import LOOP, Pressroom, System
from bench.table import Row, at_most

LEASE_SECONDS = 30
SHORT_LEASE_SECONDS = 8


def measure_kill(ground: Ground, asked: Asked) -> Iterator[Row | str]:
    """From kill -9 of the worker, just after it had renewed its lease, to the handler's first statement in another one."""
    seconds = _second_start(ground, {"seconds": 200.0, "noted": True}, signal.SIGKILL, LEASE_SECONDS / 3 + 1)
    yield at_most("restart after kill -9 (visibility 900 s)", seconds, 45, unit="s", measured=f"{seconds:.1f} s")


def measure_stop(ground: Ground, asked: Asked) -> Iterator[Row | str]:
    seconds = _second_start(ground, {"seconds": 200.0, "noted": True, "onCheckpoint": True}, signal.SIGTERM, 1)
    yield at_most("restart after SIGTERM of a job on a checkpoint", seconds, 1.5, unit="s", measured=f"{seconds:.2f} s")


def _second_start(ground: Ground, payload: dict[str, object], how: signal.Signals, after_seconds: float) -> float:
    own = Pressroom()
    with own.worker(ground) as first:
        own.warm(ground)
        own.clear(ground)
        own.submit(ground, 1, payload)
        wait_until(lambda: own.starts(ground), "the job to start")
        with own.worker(ground) as second:
            wait_until(lambda: " ready." in second.said, "the other worker")
            time.sleep(after_seconds)
            at = time.time()
            (first.kill if how is signal.SIGKILL else lambda: first.tell(how))()
            wait_until(lambda: len(own.starts(ground)) > 1, "the second start")
            second.kill()
    began = own.starts(ground)[1]
    own.clear(ground)
    ground.client.purge_queue(QueueUrl=own.url(ground))
    return began - at


def measure_lease(ground: Ground, asked: Asked) -> Iterator[Row | str]:
    """A job three times as long as its lease, or as its visibility timeout, with slots free for another run of it."""
    runs = {system.name: _runs(ground, system) for system in (Pressroom(), LOOP)}
    yield at_most(
        f"runs of a job of 3 × the lease ({SHORT_LEASE_SECONDS} s)",
        runs["pressroom"],
        1,
        measured=str(runs["pressroom"]),
        beside=f"{runs[LOOP.name]} by the loop",
    )


def _runs(ground: Ground, system: System) -> int:
    with system.worker(ground, LEASE_SECONDS=str(SHORT_LEASE_SECONDS), visibility=str(SHORT_LEASE_SECONDS)) as worker:
        system.warm(ground)
        system.clear(ground)
        system.submit(ground, 1, {"seconds": SHORT_LEASE_SECONDS * 3.0, "noted": True})
        system.wait_for(ground, 1)
        worker.kill()
    ground.client.purge_queue(QueueUrl=system.url(ground))
    return len(system.starts(ground))
