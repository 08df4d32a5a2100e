"""When a process that ended is started again, and when no more."""

from __future__ import annotations

from devstack.restarts import MOST_ENDS, WITHIN_SECONDS, Restarts


def test_each_wait_is_twice_as_long_as_the_one_before_until_there_is_none() -> None:
    restarts = Restarts()
    assert [restarts.wait_after("worker", now) for now in range(MOST_ENDS)] == [0.5, 1, 2, 4, None]


def test_processes_are_counted_each_by_itself() -> None:
    restarts = Restarts()
    assert [restarts.wait_after(name, 0) for name in ("articles", "images", "articles")] == [0.5, 0.5, 1]


def test_ends_of_long_ago_are_forgotten() -> None:
    restarts = Restarts()
    waits = [restarts.wait_after("worker", WITHIN_SECONDS / 4 * place) for place in range(20)]
    assert waits[4:] == [4] * 16
