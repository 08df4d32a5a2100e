"""A look at MongoDB that holds for a while."""

from __future__ import annotations

from threading import Event

import pytest

from jobs.database import DatabaseUnavailable
from jobs.glance import Glance
from tests.workers import PATIENCE_SECONDS, wait_for


class Sight:
    """What there is to see; counts the looks."""

    def __init__(self) -> None:
        self.looks = 0
        self.is_away = False

    def look(self) -> int:
        self.looks += 1
        if self.is_away:
            raise DatabaseUnavailable
        return self.looks


def test_asking_a_hundred_times_is_one_look() -> None:
    sight = Sight()
    glimpse = Glance(sight.look, at_first=0, holds_seconds=3600)
    assert {glimpse() for _ in range(100)} == {1}
    assert sight.looks == 1


def test_what_this_process_changed_is_looked_at_anew() -> None:
    glimpse = Glance(Sight().look, at_first=0, holds_seconds=3600)
    assert glimpse() == 1
    glimpse.forget()
    assert glimpse() == 2


def test_with_mongodb_away_what_was_seen_last_holds() -> None:
    sight = Sight()
    glimpse = Glance(sight.look, at_first=0, holds_seconds=0)
    sight.is_away = True
    assert glimpse() == 0
    sight.is_away = False
    seen = glimpse()
    sight.is_away = True
    assert glimpse() == seen == 2
    sight.is_away = False
    assert glimpse() == 4


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who keeps looking does so every few milliseconds."""
    monkeypatch.setattr("jobs.glance.KEPT_SECONDS", 0.01)


def test_who_keeps_looking_has_seen_it_before_anybody_asks(quick: None) -> None:
    sight = Sight()
    glimpse = Glance(sight.look, at_first=0, holds_seconds=3600)
    glimpse.keep()
    wait_for(lambda: sight.looks >= 3, "looks that nobody asked for")
    assert glimpse() >= 2


def test_with_mongodb_away_who_keeps_looking_tries_on(quick: None) -> None:
    sight = Sight()
    sight.is_away = True
    glimpse = Glance(sight.look, at_first=0, holds_seconds=3600)
    glimpse.keep()
    wait_for(lambda: sight.looks >= 3, "tries")
    sight.is_away = False
    wait_for(lambda: glimpse() > 0, "what there is to see")


def test_a_look_that_began_before_a_change_counts_for_nothing(quick: None) -> None:
    begun, changed, begun_again, over = Event(), Event(), Event(), Event()
    looks = 0

    def look() -> str:
        nonlocal looks
        looks += 1
        match looks:
            case 1:  # of who keeps looking
                begun.set()
                changed.wait(PATIENCE_SECONDS)
                return "before"
            case 3:  # of the same: what it had seen is dealt with
                begun_again.set()
                over.wait(PATIENCE_SECONDS)
        return "after"

    glimpse = Glance(look, at_first="", holds_seconds=3600)
    glimpse.keep()
    assert begun.wait(PATIENCE_SECONDS)
    glimpse.forget()
    assert glimpse() == "after"
    changed.set()
    assert begun_again.wait(PATIENCE_SECONDS)
    assert glimpse() == "after"
    over.set()
