"""Images and videos by the documents' endpoints."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from jobs.effects import perform_pending_of
from jobs.submit import Order, submit
from tests.web.working import PICTURE, finish_image

VIDEO = {"prompt": None, "videoUrl": None, "duration": 5, "size": "1280x720", "quality": "720p", "userEmail": None}


@pytest.mark.parametrize(
    ("order", "kind", "payload"),
    [
        (
            {"type": "image", "prompt": " A lighthouse "},
            "images",
            {"prompt": "A lighthouse", "size": "1024x1024", "style": None},
        ),
        ({"type": "video", "prompt": "Waves"}, "videos", VIDEO | {"prompt": "Waves"}),
        (
            {"type": "video", "videoUrl": "https://example.org/v.mov", "quality": "480p", "userEmail": "ada@example.org"},
            "videos",
            VIDEO | {"videoUrl": "https://example.org/v.mov", "quality": "480p", "userEmail": "ada@example.org"},
        ),
    ],
)
def test_an_order_becomes_a_job_of_its_kind(
    client: FlaskClient, database: Any, order: dict[str, Any], kind: str, payload: dict[str, Any]
) -> None:
    answer = client.post("/api/media/generate", json=order)
    assert (answer.status_code, answer.get_json()["success"]) == (202, True)
    stored = database.jobs.find_one({"_id": answer.get_json()["jobId"]})
    assert (stored["kind"], stored["payload"]) == (kind, payload)


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({}, "prompt", "is missing"),
        ({"prompt": "x", "videoUrl": "https://example.org/v"}, "videoUrl", "leave one of them out"),
        ({"videoUrl": "http://10.0.0.1/v"}, "videoUrl", "give one that is"),
        ({"videoUrl": "https://example.org/v", "quality": "8k"}, "quality", "'480p'"),
        ({"videoUrl": "https://example.org/v", "userEmail": "ada"}, "userEmail", "ada@example.org"),
    ],
)
def test_a_video_is_made_from_a_prompt_or_fetched_and_what_is_wrong_is_named(
    client: FlaskClient, database: Any, given: dict[str, Any], field: str, words: str
) -> None:
    for path, order, prefix in (
        ("/api/media/generate", {"type": "video", **given}, ""),
        ("/api/jobs", {"type": "videos", "payload": given}, "payload."),
    ):
        answer = client.post(path, json=order)
        assert answer.status_code == 422
        (error,) = answer.get_json()["errors"]
        assert error["field"] == f"{prefix}{field}"
        assert words in error["message"]
    assert database.jobs.count_documents({}) == 0


def test_media_is_null_until_the_job_is_completed_and_then_tells_of_each_file(client: FlaskClient) -> None:
    job_id = client.post("/api/media/generate", json={"type": "image", "prompt": "Bees"}).get_json()["jobId"]
    before = client.get(f"/api/media/generate?jobId={job_id}").get_json()
    assert (before["job"]["status"], before["media"]) == ("queued", None)
    finish_image(job_id)
    after = client.get(f"/api/media/generate?jobId={job_id}").get_json()
    assert (after["job"]["jobId"], after["job"]["status"]) == (job_id, "completed")
    (file,) = after["media"]
    url = file.pop("url")
    assert file == {
        "name": "image.png",
        "contentType": "image/png",
        "bytes": len(PICTURE),
        "width": 64,
        "height": 48,
        "duration": None,
    }
    assert url == f"http://localhost/api/jobs/{job_id}/media/image.png"
    assert client.get(url).data == PICTURE


def test_an_image_links_to_its_thumbnail_which_is_there_once_it_is_made(client: FlaskClient) -> None:
    job_id = client.post("/api/media/generate", json={"type": "image", "prompt": "Bees"}).get_json()["jobId"]
    finish_image(job_id)
    link = client.get(f"/api/jobs/{job_id}").get_json()["links"]["thumbnail"]
    assert "yet" in client.get(link).get_json()["detail"]
    perform_pending_of(job_id)
    (follower,) = client.get(f"/api/jobs/{job_id}").get_json()["relatedJobs"]
    finish_image(follower, name="thumbnail-64.jpg", content_type="image/jpeg")
    answer = client.get(f"{link}?size=1000")
    assert (answer.status_code, answer.content_type, answer.data) == (200, "image/jpeg", PICTURE)
    assert client.get(f"{link}?size=0").status_code == 422


def test_addresses_start_with_the_public_one_where_that_is_set(client: FlaskClient, environment: Any) -> None:
    environment(PUBLIC_URL="https://press.example/")
    job_id = client.post("/api/media/generate", json={"type": "image", "prompt": "Bees"}).get_json()["jobId"]
    finish_image(job_id)
    (file,) = client.get(f"/api/media/generate?jobId={job_id}").get_json()["media"]
    assert file["url"] == f"https://press.example/api/jobs/{job_id}/media/image.png"


def test_a_missing_job_id_is_named(client: FlaskClient) -> None:
    answer = client.get("/api/media/generate")
    assert answer.status_code == 422
    assert answer.get_json()["errors"] == [{"field": "jobId", "message": "jobId is missing: add it."}]


def test_another_users_job_is_not_there(signed_in: Any) -> None:
    client = signed_in("bob")
    job = submit(Order(kind="images", payload={"prompt": "Bees"}, user_id="ada"))
    assert client.get(f"/api/media/generate?jobId={job.id}").status_code == 404
