"""This process's stopwatch and clock, as `jobs.database` reads them, put forward by a test."""

from __future__ import annotations

from time import monotonic, time

import pytest


class Clocks:
    """Both run as they do; and besides as far as they are told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._passed = self._slept = 0.0
        monkeypatch.setattr("jobs.database.monotonic", lambda: monotonic() + self._passed)
        monkeypatch.setattr("jobs.database.time", lambda: time() + self._passed + self._slept)

    def go_on(self, seconds: float) -> None:
        """Time passes."""
        self._passed += seconds

    def sleep(self, seconds: float) -> None:
        """The machine sleeps, and no stopwatch runs."""
        self._slept += seconds
