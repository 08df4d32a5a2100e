"""What is made once is made anew for each test."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Event
from typing import Any

import pytest

from jobs.pace import pace
from settings import settings
from tests.once import Once, _all, forget
from tests.workers import PATIENCE_SECONDS


@pytest.fixture
def others() -> Iterator[None]:
    """Those that were there before are those that there are afterwards."""
    before = [*_all]
    yield
    _all[:] = before


def test_what_is_made_of_the_settings_is_made_once_and_anew_when_they_change(environment: Any) -> None:
    environment(LEASE_SECONDS="12")
    first = pace()
    assert pace() is first
    assert settings() is settings()
    environment(LEASE_SECONDS="13")
    assert (first.lease, pace().lease) == (12, 13)


def test_what_a_thread_is_making_when_all_is_forgotten_is_that_threads(others: None) -> None:
    begun, may_end = Event(), Event()

    def make(what: str) -> object:
        begun.set()
        assert may_end.wait(PATIENCE_SECONDS)
        return object()

    made = Once(make)
    with ThreadPoolExecutor(1) as thread:
        earlier = thread.submit(made, "a thing")
        assert begun.wait(PATIENCE_SECONDS)
        forget()
        may_end.set()
        theirs = earlier.result()
    ours = made("a thing")
    assert ours is not theirs
    assert made("a thing") is ours
    assert made("another") is not ours


def test_only_the_products_caches_forget() -> None:
    @cache
    def of_the_tests() -> object:
        return object()

    before = of_the_tests()
    forget()
    assert of_the_tests() is before
    assert isinstance(settings, Once)
