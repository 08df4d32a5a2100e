"""How many more jobs a user may have open."""

from __future__ import annotations

from typing import Any

from jobs.quota import UNLIMITED, room_for
from tests.jobs.jobs import document


def test_open_jobs_take_room_and_finished_ones_others_and_internal_ones_do_not(database: Any, environment: Any) -> None:
    statuses = ["queued", "retrying", "processing", "completed", "failed"]
    database.jobs.insert_many([document(status=status) | {"user_id": "ada"} for status in statuses])
    database.jobs.insert_one(document() | {"user_id": "bob"})
    assert room_for("ada") == UNLIMITED
    environment(USER_ACTIVE_JOBS="5")
    assert (room_for("ada"), room_for("bob"), room_for("eve")) == (2, 4, 5)
    environment(USER_ACTIVE_JOBS="2")
    assert room_for("ada") == 0
