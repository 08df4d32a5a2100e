"""The tiny job: its result is one document, its provider nobody."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from bench import work
from jobs.database import database
from jobs.document import Job
from providers.base import Usage
from providers.requests import Payload
from tasks.kinds import job
from tasks.run import Run

LOOK_SECONDS = 0.2


class TinyRequest(Payload):
    """Nothing much: seconds to sleep, which stand for the provider's work."""

    seconds: float = Field(default=0)
    noted: bool = Field(default=False, description="Leave a note of each start.")
    on_checkpoint: bool = Field(default=False, description="Sleep as a provider of videos is waited for.")


@dataclass(frozen=True)
class Tiny:
    """Where the result is."""

    usage: Usage

    def keep(self, job: Job) -> Mapping[str, Any]:
        return {"result": job.id}


@job("tiny", payload=TinyRequest)
def tiny(run: Run, request: TinyRequest) -> Tiny:
    if request.noted:
        work.note_start(run.job.id)
    if request.on_checkpoint:
        wait_on_checkpoint(run, request.seconds)
    payload = {} if request.on_checkpoint else {"seconds": request.seconds}
    work.generate(run.job.id, payload, database().collection(work.RESULTS))
    return Tiny(Usage())


def wait_on_checkpoint(run: Run, seconds: float) -> None:
    run.begin()
    run.keep({"prediction": "p-1"}, resumes=True)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        run.pause(LOOK_SECONDS)
    run.end()
