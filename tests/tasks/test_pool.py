"""The pool: what becomes of a slot whose job hangs, and of a worker that has lost too many of them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue as Inbox
from threading import Event, Thread, Timer
from typing import Any

import pytest
from celery.worker import state

from jobs.submit import Order, submit
from queues.deliveries import deliveries
from settings import CHECKOUT
from tasks import pool as pool_module
from tasks.leaving import come_back
from tasks.pool import Slot, TaskPool, current_slot
from tests.workers import PATIENCE_SECONDS, wait_for

ORDER = Order(kind="articles", payload={"mode": "topic", "topic": "Bees", "wordCount": 60}, user_id="ada")


class Hung:
    """A job that hangs until it is released, in its slot, or after its handler left that."""

    def __init__(self, pool: TaskPool, *, leaves: bool = False) -> None:
        self.released = Event()
        self._slots: Inbox[Slot | None] = Inbox()
        pool.apply_async(self._hang, (leaves,), callback=lambda _: None)
        slot = self._slots.get(timeout=PATIENCE_SECONDS)
        assert slot is not None
        self.slot = slot

    def _hang(self, leaves: bool) -> None:
        slot = current_slot()
        if slot is not None and leaves:
            slot.leave()
        self._slots.put(slot)
        self.released.wait()


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskPool]:
    monkeypatch.setattr(pool_module, "RETURN_SECONDS", 0.05)
    monkeypatch.setattr(state, "should_stop", None)
    pool = TaskPool(limit=8)
    pool.start()
    deliveries().set_capacity(8)
    yield pool
    end_timers(pool)
    pool.shrink(7)
    deliveries.cache_clear()
    come_back()


def end_timers(pool: TaskPool) -> None:
    """Those that look whether slots have come back: one that rings later would tell a worker of another test to end."""
    for thread in threading.enumerate():
        if isinstance(thread, Timer) and getattr(thread.function, "__self__", None) is pool:
            thread.cancel()
            thread.join()


def room() -> int:
    return deliveries().wait_for_room(0)


def test_a_thread_that_is_no_slots_has_none() -> None:
    assert current_slot() is None


def test_a_slot_written_off_is_one_place_less_however_often_it_is_said(pool: TaskPool) -> None:
    hung = Hung(pool)
    for _ in range(3):
        hung.slot.write_off()
    assert room() == 7
    assert pool.info["written-off"] == 1
    hung.released.set()


def test_a_slot_is_restored_when_its_thread_comes_back_and_takes_the_next_job(pool: TaskPool) -> None:
    hung = [Hung(pool) for _ in range(8)]
    hung[0].slot.write_off()
    hung[0].released.set()
    wait_for(lambda: room() == 8, "the slot to be restored")
    Hung(pool)  # it runs, though the other slots are taken
    assert pool.info["written-off"] == 0


def test_while_a_job_is_recorded_the_next_has_its_slot(pool: TaskPool) -> None:
    pool.shrink(7)
    recording = Hung(pool, leaves=True)
    wait_for(lambda: pool.info["recording"], "the first to leave the only slot")
    running = Hung(pool)
    assert (pool.info["running"], pool.count_busy()) == (1, 2)
    recording.slot.write_off()  # as is done to who takes too long: the place is another's now
    assert pool.info["written-off"] == 0
    for job in (recording, running):
        job.released.set()
    wait_for(lambda: not pool.count_busy(), "both to end")
    for _ in range(2 * pool_module.RECORDING):  # there is one slot still, and a thread for it
        Hung(pool).released.set()


def test_what_comes_while_no_slot_is_free_waits_for_one_in_the_order_of_its_coming(pool: TaskPool) -> None:
    running = [Hung(pool) for _ in range(8)]
    begun: Inbox[int] = Inbox()
    for place in range(20):
        pool.apply_async(begun.put, (place,), callback=lambda _: None)
    assert (pool.info["running"], pool.info["waiting"], pool.count_busy()) == (8, 20, 8)
    running[0].released.set()
    assert [begun.get(timeout=PATIENCE_SECONDS) for _ in range(20)] == [*range(20)]
    for job in running:
        job.released.set()


def test_no_more_jobs_are_recorded_beside_the_slots_than_there_are_threads_for(pool: TaskPool) -> None:
    recording = [Hung(pool, leaves=True) for _ in range(pool_module.RECORDING)]
    running = [Hung(pool) for _ in range(8)]
    assert pool.info["recording"] == pool_module.RECORDING
    begun = Event()
    pool.apply_async(begun.set, callback=lambda _: None)
    assert not begun.is_set()
    recording[0].released.set()
    running[0].released.set()
    assert begun.wait(PATIENCE_SECONDS)
    for job in (*recording, *running):
        job.released.set()


def test_a_slot_that_does_nothing_is_not_written_off(pool: TaskPool) -> None:
    ended = Hung(pool)
    ended.released.set()
    wait_for(lambda: pool.info["running"] == 0, "the job to end")
    ended.slot.write_off()
    assert room() == 8


def test_the_end_waits_for_what_runs_and_not_for_a_slot_that_was_written_off(pool: TaskPool) -> None:
    hung, running = Hung(pool), Hung(pool)
    hung.slot.write_off()
    assert pool.count_busy() == 1
    ending = Thread(target=pool.stop)
    ending.start()
    running.released.set()
    ending.join(PATIENCE_SECONDS)
    assert not ending.is_alive()
    hung.released.set()


def test_writing_a_slot_off_ends_the_wait_for_it(pool: TaskPool) -> None:
    hung = Hung(pool)
    ending = Thread(target=pool.stop)
    ending.start()
    hung.slot.write_off()
    ending.join(PATIENCE_SECONDS)
    assert not ending.is_alive()
    hung.released.set()


def test_with_a_quarter_of_its_slots_gone_the_worker_is_told_to_end_with_a_fault(pool: TaskPool) -> None:
    first = Hung(pool)
    first.slot.write_off()
    assert judged(pool) is None
    Hung(pool).slot.write_off()
    wait_for(lambda: state.should_stop, "the worker to be told")
    assert state.should_stop == os.EX_SOFTWARE


def test_a_slot_that_comes_back_soon_ends_no_worker(pool: TaskPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "RETURN_SECONDS", PATIENCE_SECONDS)
    for hung in [Hung(pool) for _ in range(4)]:
        hung.slot.write_off()
        hung.released.set()
    wait_for(lambda: room() == 8, "the slots to be restored")
    assert judged(pool) is None


def test_a_worker_that_ends_already_keeps_its_exit_status(pool: TaskPool) -> None:
    state.should_stop = 0
    pool_module.drain("it does not matter")
    assert state.should_stop == 0


def judged(pool: TaskPool) -> Any:
    """What the worker is told once every slot written off had its time to come back."""
    pool._end_if_too_few()
    return state.should_stop


def test_a_worker_whose_slots_hang_drains_and_ends_with_a_fault(tmp_path: Path, database: Any, queues: Any) -> None:
    submit(ORDER)
    log_file = tmp_path / "worker.log"
    celery = str(Path(sys.executable).with_name("celery"))
    with log_file.open("wb") as log:
        worker = subprocess.Popen(
            [celery, "-A", "tests.tasks.hanging", "worker", "-Q", "articles", "-c", "4"], cwd=CHECKOUT, stdout=log, stderr=log
        )
        try:
            assert worker.wait(PATIENCE_SECONDS) == os.EX_SOFTWARE, log_file.read_text()
        finally:
            worker.kill()
    said = log_file.read_text()
    assert said.count("the worker drains and ends") == 1
    assert "1 of its 4 slots hang" in said
