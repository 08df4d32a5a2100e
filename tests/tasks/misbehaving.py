"""A child that misbehaves at the end of its handler, as the article's topic says.

It leaves its pid in a file named after the job, in the directory that `MISBEHAVING` names; without that it behaves. A parent
has this module only to offer the app, so that its children load it too; it does not misbehave itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event

from jobs.errors import InvalidPayload, LeaseLost, NotNow, ProviderRateLimited
from jobs.store import store
from queues.steps import Step, listeners
from tasks import app
from tasks.child import perform_in_child
from tasks.hold import Hold
from tasks.kinds import task_of
from tasks.run import Run

__all__ = ["app"]

DIRECTORY = os.environ.get("MISBEHAVING")


def hang() -> None:
    Event().wait()


def hang_with_a_process_of_its_own() -> None:
    hang()


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def end_itself() -> None:
    os._exit(3)


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def be_told_to_stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)


def refuse() -> None:
    raise InvalidPayload("The moon is no topic.")


def be_limited() -> None:
    raise ProviderRateLimited("Slower, please.", retry_after_seconds=7)


def put_off() -> None:
    raise NotNow("rate_limit", seconds=11)


def lose() -> None:
    raise LeaseLost


def fall_over() -> None:
    raise ZeroDivisionError("a secret of the handler's")


Deed = Callable[[], None]
DEEDS: dict[str, Deed] = {
    deed.__name__: deed
    for deed in (
        *(hang, hang_with_a_process_of_its_own, kill_itself, end_itself, crash, be_told_to_stop),
        *(refuse, be_limited, put_off, lose, fall_over),
    )
}


def misbehave(step: Step, job_id: str) -> None:
    job = store().get(job_id) if step is Step.GENERATED else None
    deed = DEEDS.get(str(job.payload.get("topic"))) if job else None
    if deed is None:
        return
    pids = [os.getpid()]
    if deed is hang_with_a_process_of_its_own:
        pids.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)
    Path(str(DIRECTORY), job_id).write_text(" ".join(map(str, pids)))
    deed()


def attempt_in_child(job_id: str) -> None:
    """What a slot does with a claimed job."""
    job = store().get(job_id)
    assert job is not None
    assert job.lease is not None
    perform_in_child(task_of(job.kind), Run(job, Hold(job.id, job.lease.token, max_seconds=600)))


if DIRECTORY:
    listeners.append(misbehave)
