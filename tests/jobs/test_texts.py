"""The text of an article as it grows."""

from __future__ import annotations

from typing import Any

import pytest

from jobs import texts
from jobs.document import Job
from jobs.store import store
from jobs.texts import Piece, TextStream, known_by, lacking, mark, text_so_far, texts_of
from tests.jobs.jobs import document


def claimed(database: Any, token: str = "first") -> Job:
    made = document()
    database.jobs.insert_one(made)
    return claim(made["_id"], token)


def claim(job_id: str, token: str) -> Job:
    job = store().claim(job_id, kind="articles", token=token, worker="w", message_id="m")
    assert job is not None
    return job


def test_pieces_are_written_together_at_the_latest_when_flushed(database: Any) -> None:
    job = claimed(database)
    stream = TextStream(job)
    for piece in ("# Bees\n\n", "They ", "fly."):
        stream.add(piece)
    stream.flush()
    assert text_so_far(job) == "# Bees\n\nThey fly."


def test_many_pieces_are_few_writes(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr(texts, "monotonic", lambda: next(clock) / 100)  # each piece comes 10 or 20 ms after the last
    job = claimed(database)
    database.command("profile", 2)
    try:
        stream = TextStream(job)
        for n in range(200):
            stream.add(f"{n} ")
        writes = database["system.profile"].count_documents({"ns": f"{database.name}.texts", "op": "update"})
    finally:
        database.command("profile", 0)
        database["system.profile"].drop()
    assert 2 <= writes <= 6


def test_what_an_earlier_attempt_wrote_stays_until_the_next_has_written_more_or_something_else(database: Any) -> None:
    job = claimed(database)
    dead = TextStream(job)
    dead.add("# Bees\n\nThey fly.")
    dead.flush()
    stream = TextStream(claim_again(database, job, "second"))
    shown = [text_so_far(job)]
    for piece in ("# Bees\n\n", "They ", "fly. They dance."):
        stream.add(piece)
        stream.flush()
        shown.append(text_so_far(job))
    assert shown == ["# Bees\n\nThey fly."] * 3 + ["# Bees\n\nThey fly. They dance."]
    other = TextStream(claim_again(database, job))
    other.add("# Wasps")
    other.flush()
    assert text_so_far(job) == "# Wasps"


def claim_again(database: Any, job: Job, token: str = "third") -> Job:
    database.jobs.update_one({"_id": job.id}, {"$set": {"lease.expires_at": job.created_at}})
    return claim(job.id, token)


def test_an_attempt_that_was_overtaken_writes_no_more_text(database: Any) -> None:
    job = claimed(database)
    old = TextStream(job)
    database.jobs.update_one({"_id": job.id}, {"$set": {"lease.expires_at": job.created_at}})
    new = TextStream(claim(job.id, "second"))
    new.add("new")
    new.flush()
    old.add("old")
    old.flush()
    assert text_so_far(job) == "new"


def test_nobody_reads_another_users_text(database: Any) -> None:
    job = claimed(database)
    stream = TextStream(job)
    stream.add("secret")
    stream.flush()
    database.texts.update_one({}, {"$set": {"user_id": "other"}})
    assert text_so_far(job) == ""


def test_the_texts_of_many_jobs_are_each_their_owners(database: Any) -> None:
    jobs = [claimed(database, token) for token in ("a", "b", "c")]
    for job in jobs[:2]:
        stream = TextStream(job)
        stream.add(f"of {job.id}")
        stream.flush()
    database.texts.update_one({"_id": jobs[1].id}, {"$set": {"user_id": "other"}})
    assert texts_of(jobs) == {jobs[0].id: f"of {jobs[0].id}", jobs[1].id: "", jobs[2].id: ""}


@pytest.mark.parametrize(
    ("known", "now", "lacks"),
    [
        ("", "", None),
        ("", "Bees", Piece(0, "Bees")),
        ("Bees", "Bees dance", Piece(4, " dance")),
        ("Bees 🐝", "Bees 🐝 dance", Piece(7, " dance")),  # as JavaScript counts
        ("Bees dance", "Bees dream", Piece(6, "ream")),
        ("Bees dance", "Bees", Piece(4, "")),
        ("🐝", "🐞", Piece(0, "🐞")),  # no half of a character
    ],
)
def test_a_reader_gets_what_he_lacks_from_where_his_text_is_another(known: str, now: str, lacks: Piece | None) -> None:
    assert lacking(now, known) == lacks


def test_a_mark_tells_what_its_reader_has_unless_his_text_is_another() -> None:
    text = "Bees 🐝 dance."
    assert known_by(mark("Bees 🐝"), text) == "Bees 🐝"
    assert known_by("7", text) == "Bees 🐝"
    assert known_by(mark("Wasps!!"), text) == ""
    for unusable in ("", "x", "99", "-1", "7.", "7.00000000"):
        assert known_by(unusable, text) == ""
