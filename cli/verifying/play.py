"""One scenario as it plays: the jobs it ordered, what was done to them, what became of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from cli.verifying.stage import Stage
from devstack.faults import Fault
from jobs.document import Job
from jobs.life import FINAL, Status
from jobs.store import store
from jobs.submit import Order, process_name, submit_many
from queues.queue import Outgoing, queue_for
from queues.steps import Step
from queues.wire import JobMessage, attributes

USER = "verify"

T = TypeVar("T")


class Unexpected(Exception):
    """Something is not as it should be; the message says what."""


@dataclass
class Play:
    """A scenario's dealings with the stage."""

    stage: Stage
    accepted: list[str] = field(default_factory=list)
    deeds: list[str] = field(default_factory=list)

    def did(self, what: str) -> None:
        """Note what was done to the jobs, in a word or two."""
        self.deeds.append(what)

    def submit(self, *orders: Order) -> list[str]:
        """Order jobs; their ids."""
        jobs = submit_many(orders)
        return self._accepted([job.id for job in jobs])

    def accept_unsent(self, order: Order, **fields: Any) -> str:
        """Accept a job as a process does that dies before it sends the message; `fields` are set in its document."""
        job = store().insert(order.document() | fields, by=process_name())
        return self._accepted([job.id])[0]

    def send(self, job_id: str, kind: str, copies: int = 1) -> None:
        """Send messages for the job besides those there are."""
        message = Outgoing(JobMessage(job_id, USER, kind).body(), attributes(kind, "normal"))
        for _ in range(copies):
            queue_for(kind).send(message)

    def treat(self, order: Order, **behaviour: Any) -> None:
        """Let the AI service behave so towards this job; the fields are those of `devstack.generating_server.Behaviour`."""
        self.stage.service.treat(str(order.job_id), **behaviour)

    def plant(self, deed: str, step: Step, job_id: str | None = None, *, always: bool = False) -> Path:
        """Let a worker do this to itself at that step; the file is gone once it happened."""
        return self.stage.plant(Fault(deed, step, job_id, always=always))

    def cancel(self, job_id: str) -> bool:
        """Ask for the job's end, as its user does; False where it is over already."""
        return store().request_cancel(job_id, USER) is not None

    def job(self, job_id: str) -> Job:
        job = store().get(job_id)
        if job is None:
            raise Unexpected(f"job {job_id} is gone")
        return job

    def wait_for(self, condition: Callable[[], T | None], what: str) -> T:
        """What `condition` answers once it answers something true, within the stage's patience."""
        return self.stage.wait_for(condition, what)

    def wait_for_status(self, job_id: str, status: Status) -> None:
        self.wait_for(lambda: self.job(job_id).status is status, f"job {job_id} to be {status}")

    def ended(self, job_ids: Sequence[str] | None = None) -> list[Job]:
        """The jobs (all of the scenario, if none are named), once they are over."""
        ids = list(self.accepted if job_ids is None else job_ids)

        def all_over() -> list[Job] | None:
            jobs = [self.job(job_id) for job_id in ids]
            return jobs if all(job.status in FINAL for job in jobs) else None

        return self.wait_for(all_over, f"{len(ids)} jobs to end")

    def completed(self, job_ids: Sequence[str] | None = None, *, attempts: int = 1) -> list[Job]:
        """The jobs, once they are over: all completed, with so many attempts counted."""
        jobs = self.ended(job_ids)
        for job in jobs:
            self.expect(job.status is Status.COMPLETED, f"job {job.id} is {job.status}, not completed")
            self.expect(job.attempts == attempts, f"job {job.id} needed {job.attempts} attempts, not {attempts}")
        return jobs

    def expect(self, holds: bool, what: str) -> None:
        """Raises `Unexpected` with `what` where something does not hold."""
        if not holds:
            raise Unexpected(what)

    def _accepted(self, job_ids: list[str]) -> list[str]:
        with self.stage.accepting:
            self.accepted += job_ids
            self.stage.accepted += job_ids
        return job_ids


@dataclass(frozen=True)
class Scenario:
    """Something that goes wrong. `play` raises where the jobs don't come out of it as they should.

    Scenarios of one `together` play at once; where it is None, the scenario has the stage to itself.
    """

    name: str
    play: Callable[[Play], None]
    together: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How a scenario ended; `fault` says what was not as it should be."""

    name: str
    jobs: int
    did: str
    statuses: str
    seconds: float
    fault: str | None = None
    jobs_at_fault: Sequence[str] = ()


def play(scenario: Scenario, stage: Stage) -> Outcome:
    """Play it; whatever it meets is its outcome."""
    its = Play(stage)
    started = time.monotonic()
    fault = None
    try:
        scenario.play(its)
    except Exception as error:  # noqa: BLE001 - a scenario's end is what is reported, whatever it was
        fault = str(error) or type(error).__name__
    found = [job for job_id in its.accepted if (job := store().get(job_id))]
    statuses = Counter(job.status.value for job in found)
    return Outcome(
        name=scenario.name,
        jobs=len(its.accepted),
        did=", ".join(its.deeds),
        statuses=", ".join(f"{count} {status}" for status, count in statuses.most_common()),
        seconds=time.monotonic() - started,
        fault=fault,
        jobs_at_fault=[job.id for job in found if job.status not in FINAL] if fault else (),
    )


def article(**payload: Any) -> Order:
    """An order with an id of its own, so that the AI service can be told how to treat it before it is known."""
    return _order("articles", {"mode": "topic", "topic": "Verification", "wordCount": 60} | payload)


def image() -> Order:
    return _order("images", {"prompt": "A lighthouse", "size": "64x64"})


def video() -> Order:
    return _order("videos", {"prompt": "A lighthouse", "duration": 1, "size": "64x64"})


def _order(kind: str, payload: dict[str, Any]) -> Order:
    return Order(kind=kind, payload=payload, user_id=USER, job_id=uuid4().hex)
