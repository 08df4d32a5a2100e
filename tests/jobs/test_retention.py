"""What goes after its time, and what stays."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.content import article, save_article
from jobs.document import Job
from jobs.files import files
from jobs.media import media_of, save_media
from jobs.retention import clear_away
from jobs.store import store
from tests.jobs.jobs import document


def claimed(database: Any, token: str, job_id: str | None = None) -> Job:
    if job_id is None:
        made = document()
        database.jobs.insert_one(made)
        job_id = made["_id"]
    database.jobs.update_one({"_id": job_id, "lease": {"$ne": None}}, {"$set": {"lease.expires_at": datetime.now(UTC)}})
    job = store().claim(job_id, kind="articles", token=token, worker="w", message_id="m")
    assert job is not None
    return job


def save(job: Job) -> str:
    return save_media(
        job, name="image.png", content_type="image/png", file=io.BytesIO(b"x"), width=1, height=1, duration_seconds=None
    )


def age(database: Any, days: float) -> None:
    then = datetime.now(UTC) - timedelta(days=days)
    for collection in ("media", "generated_content"):
        database[collection].update_many({}, {"$set": {"created_at": then}})
    database.jobs.update_many({"finished_at": {"$ne": None}}, {"$set": {"finished_at": then}})


def test_what_an_attempt_made_that_did_not_win_goes_after_a_day(database: Any) -> None:
    lost = claimed(database, "lost")
    lost_file, _ = save(lost), save_article(lost, title="t", content="lost", word_count=1)
    won = claimed(database, "won", lost.id)
    result = save_article(won, title="t", content="won", word_count=1) | {"media": [save(won)]}
    assert store().complete(won.id, "won", result=result, usage={})
    assert clear_away().deleted == 0  # not yet
    age(database, days=1.1)
    assert clear_away().deleted == 2
    done = store().get(won.id)
    assert done is not None
    assert [item.name for item in media_of(done)] == ["image.png"]
    assert (article(done) or {})["content"] == "won"
    assert files().open(f"{won.id}/won/image.png") is not None
    assert files().open(f"{won.id}/{lost_file}") is None
    assert clear_away().deleted == 0


def test_what_a_running_attempt_has_made_stays(database: Any) -> None:
    job = claimed(database, "running")
    save(job)
    age(database, days=2)
    assert clear_away().deleted == 0
    assert files().open(f"{job.id}/running/image.png") is not None


def test_a_file_whose_job_is_gone_goes(database: Any) -> None:
    job = claimed(database, "gone")
    save(job)
    database.jobs.delete_many({})
    age(database, days=2)
    assert clear_away().deleted == 1
    assert files().open(f"{job.id}/gone/image.png") is None


def test_a_finished_job_goes_with_all_it_made_after_the_days_of_the_settings(database: Any, environment: Any) -> None:
    environment(JOB_RETENTION_DAYS="10")
    job = claimed(database, "t")
    assert store().complete(job.id, "t", result={"media": [save(job)]}, usage={})
    age(database, days=9.9)
    clear_away()
    assert store().get(job.id) is not None
    age(database, days=10.1)
    clear_away()
    assert store().get(job.id) is None
    assert database.media.count_documents({}) == 0
    assert files().open(f"{job.id}/t/image.png") is None


def test_an_open_job_stays_however_old_it_is(database: Any) -> None:
    made = document("queued", created_at=datetime.now(UTC) - timedelta(days=400))
    database.jobs.insert_one(made)
    clear_away()
    assert store().get(made["_id"]) is not None


def test_what_one_go_leaves_goes_in_the_next(database: Any) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=400)
    database.jobs.insert_many([document("completed", finished_at=long_ago) for _ in range(3)])
    assert [clear_away(most=2), clear_away(most=2)] == [(2, True), (1, False)]
    assert database.jobs.count_documents({}) == 0
