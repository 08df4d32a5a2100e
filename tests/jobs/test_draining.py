"""Queues that take no new jobs, over a real MongoDB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.database import DatabaseUnavailable
from jobs.database import database as jobs_database
from jobs.draining import Drains, QueueDraining, drains
from tests.conftest import NOWHERE


@pytest.fixture(autouse=True)
def nothing_known(environment: Callable[..., None]) -> None:
    """A process remembers for a second what drained, through the end of a test too."""
    environment()


def test_a_drained_kind_is_refused_and_no_other(database: Any) -> None:
    drains().begin("images", "ann")
    drains().refuse_order("articles")
    with pytest.raises(QueueDraining, match="images takes no new jobs"):
        drains().refuse_order("images")


def test_every_process_hears_of_it(database: Any) -> None:
    drains().begin("images", "ann")
    another = Drains(jobs_database())
    with pytest.raises(QueueDraining):
        another.refuse_order("images")


def test_beginning_again_keeps_who_began_and_when(database: Any) -> None:
    drains().begin("images", "ann")
    first = drains().all()["images"]
    drains().begin("images", "bob")
    assert drains().all()["images"] == first
    assert first.by == "ann"


def test_ending_says_whether_there_was_anything_to_end(database: Any) -> None:
    drains().begin("images", "ann")
    assert (drains().end("images", "ann"), drains().end("images", "ann")) == (True, False)
    drains().refuse_order("images")


def test_an_unknown_kind_is_refused_by_name(database: Any) -> None:
    with pytest.raises(KeyError, match="articles"):
        drains().begin("nonsense", "ann")


def test_with_mongodb_away_what_was_seen_last_holds_and_changes_fail(database: Any, environment: Any) -> None:
    environment(MONGODB_URI=f"mongodb://{NOWHERE}/?serverSelectionTimeoutMS=100")
    drains().refuse_order("images")
    with pytest.raises(DatabaseUnavailable):
        drains().begin("images", "ann")
