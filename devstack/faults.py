"""Faults to order: what a worker of `devstack.faulty` does to itself, at which step of a delivery, for which job.

    kill:recorded            SIGKILL to the process, each time the step is reached
    kill:recorded:3          only the third time in this process
    hang:polling             the thread that reaches the step never goes on
    raise:stored             an exception that nobody expects
    kill:calling:job=6b02…   only for this job
    max_seconds=4            no kind may run longer

Several stand with commas between them in `PRESSROOM_FAULTS`. Others are planted while workers run: each is a file in the
directory that `PRESSROOM_FAULTS_DIRECTORY` names, its name the fault's text. The process that takes the file away has the
fault, once; one whose text ends with `:always` stays.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Lock
from typing import NoReturn

from queues.catalogue import KINDS
from queues.steps import Step


class FaultError(Exception):
    """A text that names no fault; the message says what could stand there."""


class Broken(Exception):
    """What a worker raises that was told to."""


def _kill() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process goes on")


def _hang() -> NoReturn:
    while True:
        Event().wait()


def _raise() -> NoReturn:
    raise Broken("told to")


DEEDS: dict[str, Callable[[], NoReturn]] = {"kill": _kill, "hang": _hang, "raise": _raise}


@dataclass(frozen=True)
class Fault:
    """What to do at which step; only for one job, or only at the n-th time, if those are given."""

    deed: str
    step: Step
    job_id: str | None = None
    time: int | None = None
    always: bool = False

    def __str__(self) -> str:
        job = f"job={self.job_id}" if self.job_id else ""
        time = str(self.time) if self.time else ""
        return ":".join(filter(None, (self.deed, self.step.value, job, time, "always" if self.always else "")))

    @classmethod
    def parse(cls, text: str) -> Fault:
        """The fault of a text.

        Raises:
            FaultError: it names none.
        """
        deed, _, rest = text.partition(":")
        step, *conditions = rest.split(":")
        if deed not in DEEDS:
            raise FaultError(f"{text!r} can't be used: there are {', '.join(DEEDS)} and max_seconds=<n>")
        if step not in {each.value for each in Step}:
            raise FaultError(f"{text!r} can't be used: the steps are {', '.join(Step)}")
        fault = cls(deed, Step(step))
        for condition in conditions:
            fault = fault._under(condition, text)
        return fault

    def _under(self, condition: str, text: str) -> Fault:
        if condition.startswith("job=") and len(condition) > len("job="):
            return replace(self, job_id=condition.removeprefix("job="))
        if condition.isdecimal() and int(condition):
            return replace(self, time=int(condition))
        if condition == "always":
            return replace(self, always=True)
        raise FaultError(f"{text!r} can't be used: after the step may stand a number, job=<id> or always, not {condition!r}")

    def concerns(self, step: Step, job_id: str) -> bool:
        return self.step is step and self.job_id in (None, job_id)

    def happen(self) -> NoReturn:
        """Do it. Returns never, except by an exception."""
        DEEDS[self.deed]()


class Faults:
    """A listener of `queues.steps` that makes the faults of a process happen."""

    def __init__(self, fixed: Sequence[Fault] = (), planted_in: Path | None = None) -> None:
        self._fixed = fixed
        self._planted_in = planted_in
        self._times: Counter[Fault] = Counter()
        self._counting = Lock()

    def __call__(self, step: Step, job_id: str) -> None:
        for fault in self._fixed:
            if fault.concerns(step, job_id) and self._is_time(fault):
                fault.happen()
        for fault in self._planted(step, job_id):
            fault.happen()

    def _is_time(self, fault: Fault) -> bool:
        with self._counting:
            self._times[fault] += 1
            return fault.time in (None, self._times[fault])

    def _planted(self, step: Step, job_id: str) -> list[Fault]:
        """The planted faults that are this process's now."""
        if self._planted_in is None:
            return []
        due = [fault for file in self._planted_in.iterdir() if (fault := Fault.parse(file.name)).concerns(step, job_id)]
        return [fault for fault in due if fault.always or _take(self._planted_in / str(fault))]


def _take(planted: Path) -> bool:
    try:
        planted.unlink()
    except FileNotFoundError:
        return False
    return True


def plant(fault: Fault, directory: Path) -> Path:
    """Plant a fault for the workers that look there; its file is gone once it has happened."""
    planted = directory / str(fault)
    planted.touch()
    return planted


def order(texts: str, directory: str) -> Faults:
    """The faults that the environment orders; `max_seconds` is put in force.

    Raises:
        FaultError: a text names no fault, or the directory is none.
    """
    fixed = []
    for text in filter(None, (part.strip() for part in texts.split(","))):
        if text.startswith("max_seconds="):
            _shorten(text)
        else:
            fixed.append(Fault.parse(text))
    if directory and not Path(directory).is_dir():
        raise FaultError(f"{directory!r} is no directory")
    return Faults(fixed, Path(directory) if directory else None)


def _shorten(text: str) -> None:
    seconds = text.removeprefix("max_seconds=")
    if not seconds.isdecimal() or not int(seconds):
        raise FaultError(f"{text!r} can't be used: the longest run is a number of seconds, at least 1")
    for name, kind in KINDS.items():
        KINDS[name] = replace(kind, max_seconds=int(seconds))
