"""Rates over the last five minutes."""

from __future__ import annotations

import pytest

from queues.per_minute import PerMinute


def test_the_rate_is_the_mean_of_the_last_five_minutes() -> None:
    now = [1_000.0]
    received = PerMinute(lambda: now[0])
    assert received.rate == 0
    for _ in range(100):
        received.count()
        now[0] += 0.1
    assert received.rate == 20
    now[0] += 295
    assert 0 < received.rate < 20
    now[0] += 20
    assert received.rate == 0


def test_a_busy_process_keeps_one_entry_a_second_at_most() -> None:
    now = [0.0]
    received = PerMinute(lambda: now[0])
    for _ in range(4_000):
        received.count(10)
        now[0] += 0.25
    assert received.rate == pytest.approx(2_400, rel=0.01)
    assert len(received._counted) <= 301
