"""Jobs of documents: whole ones, and those of an earlier release."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from jobs.document import Job, new_document

AT = datetime(2026, 12, 1, 9, tzinfo=UTC)
WRITTEN: dict[str, Any] = new_document(
    job_id="j-1", kind="articles", user_id="ada", payload={"topic": "Bees"}, max_attempts=3, provider=None, model_id=None
) | {"created_at": AT, "history": [{"at": AT, "verb": "submit", "attempt": 0}]}


def test_a_job_of_a_whole_document_is_as_if_made_by_its_constructor() -> None:
    job = Job.from_document(WRITTEN)
    assert job == Job(**{field.name: getattr(job, field.name) for field in fields(Job)})
    assert job == replace(job)
    with pytest.raises(AttributeError, match="cannot assign"):
        job.kind = "images"  # type: ignore[misc]


def test_what_an_earlier_release_did_not_write_is_as_if_nothing_were_there() -> None:
    old = {name: value for name, value in WRITTEN.items() if name not in {"group", "seq", "callback", "deliveries"}}
    job = Job.from_document(old)
    assert (job.group, job.seq, job.callback, job.deliveries) == (None, None, None, [])


def test_a_job_names_another_message_and_is_else_the_same() -> None:
    job = Job.from_document(WRITTEN)
    named = job.with_message("m-1")
    assert (job.message_id, named.message_id) == (None, "m-1")
    assert replace(named, message_id=None) == job
