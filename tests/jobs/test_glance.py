"""A look at MongoDB that holds for a while."""

from __future__ import annotations

from jobs.database import DatabaseUnavailable
from jobs.glance import Glance


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
