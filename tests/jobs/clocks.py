"""This process's stopwatch and clock, as `jobs.database` reads them, put forward by a test."""

from __future__ import annotations

from time import monotonic, time

import pytest

from jobs import database


class Clocks:
    """Both stand at a whole second, however long the test takes, and go on as far as they are told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stopwatch, clock = float(int(monotonic())), float(int(time()))
        self._passed = self._slept = 0.0
        monkeypatch.setattr("jobs.database.monotonic", lambda: stopwatch + self._passed)
        monkeypatch.setattr("jobs.database.time", lambda: clock + self._passed + self._slept)
        # what is begun by these clocks is not to be read by the true ones after the test
        monkeypatch.setattr("jobs.database._answering_since", [database.Stopwatch()] if database._answering_since else [])

    def go_on(self, seconds: float) -> None:
        """Time passes."""
        self._passed += seconds

    def sleep(self, seconds: float) -> None:
        """The machine sleeps, and no stopwatch runs."""
        self._slept += seconds
