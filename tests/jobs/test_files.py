"""The two stores of files, held to the same behaviour: MongoDB's GridFS and a real S3 server."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import boto3
import pytest
import requests

from jobs.document import Job
from jobs.files import Files, StorageUnavailable, files
from jobs.media import media_of, save_media
from jobs.store import store
from tests.conftest import NOWHERE
from tests.jobs.jobs import document

KEY = "job/token/picture.png"


@pytest.fixture(params=["gridfs", "s3"])
def kept(request: pytest.FixtureRequest, environment: Callable[..., None], database: Any) -> Files:
    if request.param == "s3":
        endpoint = request.getfixturevalue("sqs")
        environment(MEDIA_BUCKET="pressroom-media")
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="pressroom-media")
    return files()


def test_a_file_comes_back_as_it_was_stored(kept: Files) -> None:
    content = bytes(range(256)) * 2000
    kept.put(KEY, io.BytesIO(content), "image/png")
    found = kept.open(KEY)
    assert found is not None
    assert found.read() == content
    found.seek(1000)
    assert found.read(3) == content[1000:1003]


def test_storing_a_file_again_under_its_key_is_harmless(kept: Files) -> None:
    for content in (b"first", b"second"):
        kept.put(KEY, io.BytesIO(content), "image/png")
    found = kept.open(KEY)
    assert found is not None
    assert found.read() == b"second"


def test_what_was_never_stored_or_is_deleted_is_not_there(kept: Files) -> None:
    kept.put(KEY, io.BytesIO(b"x"), "image/png")
    kept.delete(KEY)
    kept.delete(KEY)
    assert kept.open(KEY) is None


def test_of_a_file_that_a_kill_cut_off_no_piece_outlives_its_record(database: Any) -> None:
    files().put(KEY, io.BytesIO(b"x"), "image/png")
    database["files.files"].delete_many({})  # which is written after the pieces
    assert database["files.chunks"].count_documents({}) == 1
    files().delete(KEY)
    assert database["files.chunks"].count_documents({}) == 0


def test_a_jobs_media_are_recorded_with_their_sizes(kept: Files, database: Any) -> None:
    job = claimed(database)
    record = save_media(
        job, name="image.png", content_type="image/png", file=io.BytesIO(b"12345"), width=4, height=2, duration_seconds=None
    )
    assert media_of(job) == []  # until the job's result names it, it does not count
    assert store().complete(job.id, "t", result={"media": [record]}, usage={})
    (item,) = media_of(read(job.id))
    assert (item.name, item.bytes, item.width, item.height, item.content_type) == ("image.png", 5, 4, 2, "image/png")
    assert "t" in item.key.split("/")


def test_a_record_of_another_user_is_none_of_the_jobs_media(kept: Files, database: Any) -> None:
    job = claimed(database)
    record = save_media(
        job, name="image.png", content_type="image/png", file=io.BytesIO(b"x"), width=1, height=1, duration_seconds=None
    )
    assert store().complete(job.id, "t", result={"media": [record]}, usage={})
    database.media.update_one({}, {"$set": {"user_id": "mallory"}})
    assert media_of(read(job.id)) == []


def test_a_bucket_gives_links_that_anybody_can_fetch_for_a_while(environment: Callable[..., None], sqs: str) -> None:
    environment(MEDIA_BUCKET="pressroom-links")
    boto3.client("s3", endpoint_url=sqs).create_bucket(Bucket="pressroom-links")
    files().put(KEY, io.BytesIO(b"picture"), "image/png")
    url = files().url(KEY, name="picture.png")
    assert url is not None
    answer = requests.get(url, timeout=60)
    assert (answer.content, answer.headers["Content-Type"]) == (b"picture", "image/png")
    assert "Expires" in url


def test_a_bucket_that_is_away_is_a_retryable_error(environment: Callable[..., None]) -> None:
    environment(MEDIA_BUCKET="pressroom-away", AWS_ENDPOINT_URL=f"http://{NOWHERE}")
    with pytest.raises(StorageUnavailable) as raised:
        files().put(KEY, io.BytesIO(b"x"), "image/png")
    assert raised.value.retryable


def claimed(database: Any) -> Job:
    made = document()
    database.jobs.insert_one(made)
    job = store().claim(made["_id"], kind="articles", token="t", worker="w", message_id="m")
    assert job is not None
    return job


def read(job_id: str) -> Job:
    job = store().get(job_id)
    assert job is not None
    return job
