"""Attempts in child processes: real ones, which die, hang, are killed, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import BoundedSemaphore, Thread
from typing import Any
from uuid import uuid4

import pytest

from jobs.document import Job
from jobs.errors import (
    Cancelled,
    HandedBack,
    InvalidPayload,
    JobError,
    LeaseLost,
    NotNow,
    ProviderRateLimited,
    TimedOut,
    WorkerLost,
)
from jobs.store import store
from jobs.submit import Order, process_name
from settings import CHECKOUT
from tasks import child as module
from tasks.attempt import Made
from tasks.child import Child, perform_in_child
from tasks.hold import Hold
from tasks.kinds import task_of
from tasks.run import Run
from tests.tasks import misbehaving
from tests.tasks.running import end_kept_children
from tests.workers import PATIENCE_SECONDS, wait_for


def behave() -> None:
    """What a child does whose topic says nothing else."""


@pytest.fixture(scope="module", autouse=True)
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where misbehaving children leave their pids. A child that has done its job is kept from test to test."""
    end_kept_children()  # of other tests: they would behave
    pids = tmp_path_factory.mktemp("pids")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MISBEHAVING", str(pids))
        yield pids
        end_kept_children()


@pytest.fixture(autouse=True)
def _with_database(database: Any) -> None:
    """All of these need one."""


def claimed(deed: misbehaving.Deed = behave, *, kind: str = "articles", payload: dict[str, Any] | None = None) -> Job:
    """A job of which this process has the lease."""
    topic = {"mode": "topic", "topic": deed.__name__, "wordCount": 60}
    job = store().insert(Order(kind=kind, payload=payload or topic, user_id="ada").document(), by=process_name())
    claimed = store().claim(job.id, kind=kind, token=uuid4().hex, worker="w", message_id=None)
    assert claimed is not None
    return claimed


def hold_of(job: Job) -> Hold:
    assert job.lease is not None
    return Hold(job.id, job.lease.token, max_seconds=600)


def perform(job: Job, hold: Hold | None = None) -> Made:
    return perform_in_child(task_of(job.kind), Run(job, hold or hold_of(job)))


def kept_child() -> Child:
    """The child that the next job gets."""
    return module._idle[-1]


class Attempt:
    """An attempt in a slot of its own."""

    def __init__(self, job: Job, hold: Hold | None = None) -> None:
        self.hold = hold or hold_of(job)
        self._outcome: Made | Exception | None = None
        self._thread = Thread(target=self._perform, args=(job,), daemon=True)
        self._thread.start()

    def _perform(self, job: Job) -> None:
        try:
            self._outcome = perform(job, self.hold)
        except Exception as error:  # noqa: BLE001 - the test judges it
            self._outcome = error

    def outcome(self) -> Made | Exception | None:
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()
        return self._outcome


def pids_left(directory: Path, job: Job) -> list[int]:
    """The pids of a misbehaving child and of what it started, once it is at it."""
    file = directory / job.id
    said = wait_for(lambda: file.read_text() if file.exists() else None, "the child to misbehave")
    return [int(word) for word in said.split()]


def runs(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state) and not state.startswith("Z")


def zombies() -> set[int]:
    """The dead that nobody has buried."""
    table = subprocess.run(["ps", "-A", "-o", "stat=,pid="], capture_output=True, text=True, check=True).stdout
    return {int(pid) for state, pid in map(str.split, table.splitlines()) if state.startswith("Z")}


def test_what_a_child_made_arrives_with_what_must_follow(database: Any) -> None:
    job = claimed(payload={"mode": "topic", "topic": "Bees", "wordCount": 60, "includeImages": True})
    made = perform(job)
    content = database.generated_content.find_one({"_id": made.result["content_id"]})
    assert content["job_id"] == job.id
    assert "Bees" in content["content"]
    assert [effect["does"] for effect in made.follow_ups] == ["submit"]


def test_files_that_a_child_made_are_stored(database: Any) -> None:
    made = perform(claimed(kind="images", payload={"prompt": "Bees", "size": "64x64"}))
    assert database.media.find_one({"_id": made.result["media"][0]})["width"] == 64
    assert made.usage["images"] == 1


@pytest.mark.parametrize(
    ("deed", "kind", "code", "message", "state"),
    [
        (misbehaving.refuse, InvalidPayload, "invalid_payload", "The moon is no topic.", {"retry_after_seconds": None}),
        (misbehaving.be_limited, ProviderRateLimited, "provider_rate_limited", "Slower, please.", {"retry_after_seconds": 7}),
        (misbehaving.put_off, NotNow, None, "rate_limit", {"reason": "rate_limit", "seconds": 11}),
        (misbehaving.lose, LeaseLost, None, "", {}),
        (misbehaving.fall_over, JobError, "internal", str(JobError()), {"retry_after_seconds": None}),
    ],
)
def test_what_a_child_raises_arrives_as_it_was_and_the_rest_as_an_error_of_our_side(
    deed: misbehaving.Deed, kind: type[Exception], code: str, message: str, state: dict[str, Any]
) -> None:
    with pytest.raises(kind) as raised:
        perform(claimed(deed))
    assert type(raised.value) is kind
    assert getattr(raised.value, "code", None) == code
    assert str(raised.value) == message
    assert vars(raised.value) == state


def test_a_child_that_has_done_its_job_is_kept_for_the_next() -> None:
    perform(claimed())
    first = kept_child().pid
    with pytest.raises(JobError):
        perform(claimed(misbehaving.fall_over))
    perform(claimed())
    assert kept_child().pid == first


def test_the_traceback_of_a_broken_handler_is_in_the_childs_log_under_its_job(capfd: pytest.CaptureFixture[str]) -> None:
    end_kept_children()  # they write to where the test before them looked
    job = claimed(misbehaving.fall_over)
    outcome = Attempt(job).outcome()  # by a child that writes to this test's log
    assert isinstance(outcome, JobError)
    said = capfd.readouterr().err
    assert "ZeroDivisionError: a secret of the handler's" in said
    assert job.id in said


def test_a_child_told_to_stop_while_it_works_goes_on() -> None:
    assert isinstance(perform(claimed(misbehaving.be_told_to_stop)), Made)


def test_a_child_takes_no_stop_signal_from_its_first_moment_on() -> None:
    child = Child()
    for each in module.STOP_SIGNALS:
        os.kill(child.pid, each)
    job = claimed()
    assert isinstance(child.perform(module.Order(job, []), hold_of(job)), Made)
    child.kill()


def test_a_child_asks_the_hold_before_it_calls_the_provider(directory: Path) -> None:
    job = claimed(misbehaving.hang)
    attempt = Attempt(job)
    pids_left(directory, job)
    assert not attempt.hold.hand_back()  # it has called
    assert attempt.hold.hand_back(whatever_it_costs=True)
    assert isinstance(attempt.outcome(), HandedBack)


def test_a_job_handed_back_in_the_last_moment_makes_no_call(directory: Path) -> None:
    class GoneInTheLastMoment(Hold):
        def begin_call(self) -> None:
            assert self.hand_back()
            super().begin_call()

    job = claimed(misbehaving.hang)
    attempt = Attempt(job, GoneInTheLastMoment(job.id, hold_of(job).token, max_seconds=600))
    assert isinstance(attempt.outcome(), HandedBack)
    assert not (directory / job.id).exists()


@pytest.mark.parametrize(
    ("deed", "how"),
    [
        (misbehaving.kill_itself, "was killed (SIGKILL), as systems do when memory runs out"),
        (misbehaving.crash, "died of SIGSEGV"),
        (misbehaving.end_itself, "ended by itself, with exit status 3"),
    ],
)
def test_a_child_that_dies_is_an_attempt_that_says_how_and_its_neighbour_goes_on(
    deed: misbehaving.Deed, how: str, directory: Path
) -> None:
    hanging = claimed(misbehaving.hang)
    neighbour = Attempt(hanging)
    (pid,) = pids_left(directory, hanging)
    lost = Attempt(claimed(deed)).outcome()
    assert isinstance(lost, WorkerLost)
    assert str(lost) == f"The process that ran the job {how}."
    assert runs(pid)
    neighbour.hold.finish("cancelled")
    assert isinstance(neighbour.outcome(), Cancelled)


def test_a_kept_child_that_died_meanwhile_is_replaced() -> None:
    perform(claimed())
    first = kept_child()
    os.kill(first.pid, signal.SIGKILL)
    wait_for(lambda: not first.is_alive, "the child to be gone")
    assert isinstance(perform(claimed()), Made)


def test_a_child_outlives_the_slot_that_asked_for_it() -> None:
    assert isinstance(Attempt(claimed()).outcome(), Made)  # in a thread that is gone now
    child = kept_child()
    perform(claimed())
    assert kept_child() is child


def test_no_more_children_are_kept_than_are_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_CHILDREN", len(module._idle))
    taken = [module._take_child() for _ in range(len(module._idle) + 1)]
    for child in taken:
        module._keep_child(child)
    assert [child.is_alive for child in taken] == [True] * (len(taken) - 1) + [False]


def test_a_hold_that_ends_kills_the_child_and_what_it_started(directory: Path) -> None:
    job = claimed(misbehaving.hang_with_a_process_of_its_own)
    attempt = Attempt(job)
    both = pids_left(directory, job)
    assert len(both) == 2
    assert all(map(runs, both))
    attempt.hold.finish("timed out")
    assert isinstance(attempt.outcome(), TimedOut)
    wait_for(lambda: not any(map(runs, both)), "the processes to be gone")


def test_a_child_dies_with_its_parent(directory: Path) -> None:
    job = claimed(misbehaving.hang)
    program = f"from tests.tasks import misbehaving; misbehaving.attempt_in_child({job.id!r})"
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=CHECKOUT)
    (pid,) = pids_left(directory, job)
    assert runs(pid)
    parent.kill()
    parent.wait(PATIENCE_SECONDS)
    wait_for(lambda: not runs(pid), "the child to be gone")


def test_a_child_whose_parent_dies_while_it_starts_ends_too() -> None:
    program = "from tasks.child import Child; import os; print(Child().pid, flush=True); os._exit(0)"
    said = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    wait_for(lambda: not runs(int(said)), "the child to be gone")


def test_ten_children_that_died_leave_no_zombie() -> None:
    pids = set()
    for _ in range(10):
        child, job = Child(), claimed()
        pids.add(child.pid)
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(WorkerLost):
            child.perform(module.Order(job, []), hold_of(job))
    assert not pids & zombies()


class TestWithACrashBehindIt:
    """Jobs that may have killed their process before."""

    @pytest.fixture(autouse=True)
    def _one_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_quarantine", BoundedSemaphore(1))

    def crashed(self, database: Any, deed: misbehaving.Deed = behave) -> Job:
        job = claimed(deed)
        database.jobs.update_one({"_id": job.id}, {"$set": {"crashes": 1}})
        crashed = store().get(job.id)
        assert crashed is not None
        return crashed

    def test_it_dies_alone_and_the_next_one_has_its_place(self, database: Any) -> None:
        with pytest.raises(WorkerLost):
            perform(self.crashed(database, misbehaving.kill_itself))
        assert isinstance(perform(self.crashed(database)), Made)

    def test_it_waits_for_a_place_and_hears_of_its_cancel_meanwhile(self, database: Any, directory: Path) -> None:
        hanging = self.crashed(database, misbehaving.hang)
        first = Attempt(hanging)
        pids_left(directory, hanging)
        second, third = Attempt(self.crashed(database)), self.crashed(database, misbehaving.be_told_to_stop)
        waiting = Attempt(third)
        second.hold.finish("cancelled")
        assert isinstance(second.outcome(), Cancelled)
        fresh = Attempt(claimed())  # needs no place, and as long as the one that waits would have needed
        assert isinstance(fresh.outcome(), Made)
        assert not (directory / third.id).exists()
        first.hold.finish("cancelled")
        assert isinstance(first.outcome(), Cancelled)
        assert isinstance(waiting.outcome(), Made)
