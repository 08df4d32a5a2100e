"""The part of an attempt that is the kind's own: run the handler, store what it made. In a slot's thread or in a child."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from jobs.document import Job
from jobs.effects import Effect
from jobs.errors import InvalidPayload
from queues.steps import Step, reached

if TYPE_CHECKING:
    from providers.requests import Payload
    from tasks.job_task import JobTask
    from tasks.results import Result
    from tasks.run import Run


@dataclass(frozen=True)
class Made:
    """What an attempt made, stored under its lease's token. Plain values: it travels between processes."""

    result: Mapping[str, Any]
    """What the job's document says of it."""
    usage: Mapping[str, Any]
    generations: int = 0
    """How many the ledger knows of it."""
    follow_ups: list[Effect] = field(default_factory=list)


def perform(task: JobTask, run: Run) -> Made:
    """Run the handler and store what it made.

    Raises:
        JobError: the attempt failed.
        LeaseLost: what it made counts no more.
    """
    try:
        result: Result = task.run(run, read_payload(task.payload, run.job))
        run.check()
        reached(Step.GENERATED, run.job.id)
        kept = result.keep(run.job)
        reached(Step.STORED, run.job.id)
        usage = dict(vars(result.usage))  # flat: `asdict` would look for more, in a twentieth of a tiny job's time
        return Made(result=kept, usage=usage, generations=run.generations, follow_ups=run.follow_ups)
    finally:
        run.close()


def read_payload(model: type[Payload], job: Job) -> Payload:
    """The job's payload, checked again: it may have been written by an older release."""
    try:
        return model.model_validate(dict(job.payload))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise InvalidPayload(f"The job's payload is not what {job.kind} needs: {faults}") from None
