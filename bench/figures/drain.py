"""Draining tiny jobs: pace and the worker's processor time, all systems by turns; requests to SQS; many waiting; no monitor."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from statistics import mean, median
from threading import Event, Thread
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

from bench.asked import Asked
from bench.ground import Ground
from bench.processes import Running, cpu_seconds_of
from bench.systems import BATCHING_LOOP, CELERY, DRAMATIQ, LOOP, SLOTS, TASKIQ, Peer, Pressroom, System
from bench.table import Row, at_least, at_most, of_rounds
from devstack.forwarder import Forwarder
from devstack.server import Server
from monitoring.store import EVENTS

CLOSE: list[Peer] = [LOOP, BATCHING_LOOP, DRAMATIQ, TASKIQ]
CLOSE_ROUNDS = 3
"""What is near a limit drains in so many times as many rounds: each takes two seconds, on a machine with neighbours."""
PEERS: list[Peer] = [*CLOSE, *CELERY.values()]
SENDS = ("SendMessage", "SendMessageBatch")
DELETES = ("DeleteMessage", "DeleteMessageBatch")
MONITORED_JOBS = 3_000
"""Of each drain that is held against another of the same worker: on a machine with neighbours two seconds say little."""
SLOW_SECONDS = 1.0
"""For so long a slow store's question, and then its answer, are kept back."""

State = Callable[[], AbstractContextManager[None]]
"""What a monitor's store is in while the block lasts."""


@dataclass(frozen=True, kw_only=True)
class Drained:
    """One drain."""

    jobs: int
    seconds: float
    cpu_seconds: float
    mongod_seconds: float
    requests: Counter[str]

    @property
    def pace(self) -> float:
        return self.jobs / self.seconds

    @property
    def cpu(self) -> float:
        """For 1,000 jobs."""
        return self.cpu_seconds / self.jobs * 1000

    @property
    def sends(self) -> float:
        return sum(self.requests[action] for action in SENDS) / self.jobs

    @property
    def receives(self) -> float:
        return self.requests["ReceiveMessage"] / self.jobs

    @property
    def deletes(self) -> float:
        return sum(self.requests[action] for action in DELETES) / self.jobs


def drain(ground: Ground, system: System, jobs: int | None = None, *, waiting: int = 0, **variables: str) -> Drained:
    """Let a worker just started do so many jobs; with more `waiting` behind them, the first so many."""
    with system.worker(ground, SLOTS, **variables) as worker:
        system.warm(ground)
        return drain_by(ground, system, worker, jobs or system.jobs_at_once, waiting)


def drain_by(
    ground: Ground, system: System, worker: Running, jobs: int, waiting: int = 0, *, one_by_one: bool = False
) -> Drained:
    """Let a warm worker do so many jobs."""
    worker.signal(signal.SIGSTOP)
    system.clear(ground)
    requests = ground.requests(system.queue)
    if one_by_one:
        for _ in range(jobs):
            system.submit_one(ground)
    else:
        system.submit(ground, jobs + waiting)
    cpu, mongod = worker.cpu_seconds, cpu_seconds_of(ground.mongod.process.pid)
    began = time.time()
    worker.signal(signal.SIGCONT)
    system.wait_for(ground, jobs)
    if waiting:  # the worker has done a few more by now
        done, seconds = system.completed(ground), time.time() - began
        used = worker.cpu_seconds - cpu
        requested = ground.requests(system.queue) - requests
        worker.kill()
        ground.client.purge_queue(QueueUrl=system.url(ground))  # the next figure finds none of those that still wait
        return Drained(jobs=done, seconds=seconds, cpu_seconds=used, mongod_seconds=0, requests=requested)
    system.wait_for_acknowledgements(ground)
    last = ground.database[system.collection].find_one(sort=[("finished_at", -1)], projection=["finished_at"])
    assert last is not None
    return Drained(
        jobs=jobs,
        seconds=last["finished_at"].timestamp() - began,
        cpu_seconds=worker.cpu_seconds - cpu,
        mongod_seconds=cpu_seconds_of(ground.mongod.process.pid) - mongod,
        requests=ground.requests(system.queue) - requests,
    )


def by_turns(ground: Ground, systems: Sequence[System], rounds: int) -> dict[str, list[Drained]]:
    """Each system once a round; in the later rounds only those that are close."""
    found: dict[str, list[Drained]] = {system.name: [] for system in systems}
    for turn in range(rounds * CLOSE_ROUNDS):
        for system in systems if turn < rounds else [each for each in systems if each not in CELERY.values()]:
            drained = drain(ground, system)
            found[system.name].append(drained)
            print(f"  round {turn + 1}  {system.name:24} {in_words(drained)}", flush=True)
    return found


def in_words(drained: Drained) -> str:
    mongod = drained.mongod_seconds / drained.jobs * 1000
    return (
        f"{drained.pace:6.1f} jobs/s   CPU of 1,000: worker {drained.cpu:5.2f} s, MongoDB {mongod:5.2f} s"
        f"   receives {drained.receives:.3f}, deletes {drained.deletes:.3f} a job"
    )


def rows(found: dict[str, list[Drained]]) -> Iterator[Row]:
    """What the figures of the rounds come to; ratios are taken within a round."""
    own = found["pressroom"]

    def ratios(name: str, what: str) -> list[float]:
        return [getattr(ours, what) / getattr(theirs, what) for ours, theirs in zip(own, found[name], strict=False)]

    def middle(name: str, what: str) -> float:
        return float(median(getattr(each, what) for each in found[name]))

    for name, target in [(LOOP.name, 1.0), (BATCHING_LOOP.name, 0.8), (DRAMATIQ.name, 1.2), ("celery threads 1", 20.0)]:
        if name in found:
            paces = ratios(name, "pace")
            yield at_least(
                f"drain of tiny jobs, 8 slots: against {name}",
                median(paces),
                target,
                measured=f"{middle('pressroom', 'pace'):.0f} jobs/s = {of_rounds(paces)} ×",
                beside=f"{middle(name, 'pace'):.0f} jobs/s",
            )
    for name, target in [(LOOP.name, 1.3), *((peer.name, 1.0) for peer in CELERY.values())]:
        if name in found:
            costs = ratios(name, "cpu")
            yield at_most(
                f"worker CPU for 1,000 tiny jobs: against {name}",
                median(costs),
                target,
                unit="×",
                measured=f"{middle('pressroom', 'cpu'):.2f} s = {of_rounds(costs)} ×",
                beside=f"{middle(name, 'cpu'):.2f} s",
            )


def table_of_all(found: dict[str, list[Drained]]) -> str:
    """Every system's figures, as Markdown."""
    lines = ["| system | jobs/s | worker CPU s / 1,000 | receives a job | deletes a job |", "|---|---|---|---|---|"]
    for name, drains in found.items():
        of = {what: median(getattr(each, what) for each in drains) for what in ("pace", "cpu", "receives", "deletes")}
        lines.append(f"| {name} | {of['pace']:.0f} | {of['cpu']:.2f} | {of['receives']:.3f} | {of['deletes']:.3f} |")
    return "\n".join(lines)


def measure_drain(ground: Ground, asked: Asked) -> Iterator[Row | str]:
    systems: list[System] = [Pressroom()]
    if asked.against:
        systems.append(Pressroom(name="other checkout", checkout=asked.against))
    systems += [peer for peer in PEERS if not asked.peers or peer.name in asked.peers]
    found = by_turns(ground, systems, asked.rounds)
    yield from rows(found)
    yield table_of_all(found)


def measure_requests(ground: Ground, asked: Asked) -> Iterator[Row | str]:
    """Counted from the submission to the last delete; that figure has no noise, so one round will do."""
    own = Pressroom()
    for what, one_by_one, target, floor in (("one by one", True, 1.25, "1.2"), ("in a batch", False, 0.35, "0.3")):
        with own.worker(ground) as worker:
            own.warm(ground)
            drained = drain_by(ground, own, worker, own.jobs_at_once, one_by_one=one_by_one)
        total = drained.sends + drained.receives + drained.deletes
        parts = f"{drained.sends:.3f} + {drained.receives:.3f} + {drained.deletes:.3f}"
        yield at_most(
            f"SQS requests a job, submitted {what}", total, target, measured=f"{total:.3f} = {parts}", beside=f"floor {floor}"
        )


def measure_growth(ground: Ground, asked: Asked) -> Iterator[Row | str]:
    """What a job costs the worker with ten times as many waiting behind it. (The SQS server takes as long for a request.)"""
    own = Pressroom()
    cpu, requests = [], []
    for _ in range(asked.rounds * CLOSE_ROUNDS):
        few, many = drain(ground, own), drain(ground, own, waiting=9_000)
        cpu.append(many.cpu / few.cpu)
        requests.append((many.receives + many.deletes) / (few.receives + few.deletes))
    yield at_most("a job's CPU with 10,000 waiting, against 1,000", median(cpu), 1.1, unit="×", measured=f"{of_rounds(cpu)} ×")
    yield at_most("its requests", median(requests), 1.1, unit="×", measured=f"{of_rounds(requests)} ×")


def measure_monitor(ground: Ground, asked: Asked) -> Iterator[Row | str]:
    """The monitor on a MongoDB of its own, which is full (refuses every event), slow (each answer takes two seconds), then
    stopped (answers nothing to anybody). It is well before and after that, and the ratio is to both."""
    own = Pressroom()
    paces: dict[str, list[float]] = {"full": [], "slow": [], "stopped": []}
    with (
        ground.second_mongod() as (uri, server),
        MongoClient[dict[str, Any]](uri) as client,
        Forwarder(*client.address or ("", 0)) as way,
    ):
        states = {"full": _full(client["monitor"]), "slow": _slow(way), "stopped": _stopped(server)}
        for _ in range(asked.rounds):
            with own.worker(ground, MONITOR_URL=f"mongodb://{way.address}/monitor?directConnection=true") as worker:
                own.warm(ground)
                well = [drain_by(ground, own, worker, MONITORED_JOBS).pace]
                away = {}
                for how, state in states.items():
                    with state():
                        away[how] = drain_by(ground, own, worker, MONITORED_JOBS).pace
                well.append(drain_by(ground, own, worker, MONITORED_JOBS).pace)
            for how, pace in away.items():
                paces[how].append(pace / mean(well))
    for how, those in paces.items():
        yield at_least(f"drain with the monitor's store {how}", median(those), 0.95, measured=f"{of_rounds(those)} ×")


def _full(monitor: Database[dict[str, Any]]) -> State:
    @contextmanager
    def state() -> Iterator[None]:
        monitor.command("collMod", EVENTS, validator={"$expr": False})
        try:
            yield
        finally:
            monitor.command("collMod", EVENTS, validator={})

    return state


def _slow(way: Forwarder) -> State:
    @contextmanager
    def state() -> Iterator[None]:
        over = Event()

        def let_through_by_turns() -> None:
            way.hold()
            while not over.wait(SLOW_SECONDS):
                way.restore()
                way.hold()
            way.restore()

        turns = Thread(target=let_through_by_turns)
        turns.start()
        try:
            yield
        finally:
            over.set()
            turns.join()

    return state


def _stopped(server: Server) -> State:
    @contextmanager
    def state() -> Iterator[None]:
        server.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            server.process.send_signal(signal.SIGCONT)

    return state
