"""Our own endpoints: jobs of every kind, their results and files."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest
import requests
from flask.testing import FlaskClient

from jobs.submit import Order, submit
from providers.choice import PROVIDERS
from queues.catalogue import KINDS
from tests.conftest import NOWHERE
from tests.jobs.waiting import in_queue
from tests.web.working import ARTICLE, PICTURE, fail, finish_article, finish_image

ARTICLE_ORDER = {"type": "articles", "payload": {"topic": "Bees", "wordCount": 60}}
IMAGE_ORDER = {"type": "images", "payload": {"prompt": "Bees"}}


def submitted(client: FlaskClient, order: dict[str, Any]) -> str:
    answer = client.post("/api/jobs", json=order)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.get_json()["jobId"]
    return job_id


def test_a_job_is_answered_whole_and_says_where_it_is(client: FlaskClient, database: Any) -> None:
    answer = client.post("/api/jobs", json={**ARTICLE_ORDER, "provider": "local", "modelId": "m-1"})
    assert answer.status_code == 202
    job = answer.get_json()
    assert answer.headers["Location"] == f"/api/jobs/{job['jobId']}"
    assert (job["type"], job["status"], job["provider"], job["modelId"]) == ("articles", "queued", "local", "m-1")
    assert job["progress"] == {"percent": 0, "stage": "Waiting for a worker"}
    assert (job["attempts"], job["maxAttempts"], job["priority"]) == (0, KINDS["articles"].max_attempts, "normal")
    address = f"http://localhost/api/jobs/{job['jobId']}"
    assert job["links"] == {
        "self": address,
        "events": f"{address}/events",
        "result": None,
        "media": [],
        "thumbnail": None,
        "cancel": f"{address}/cancel",
        "retry": None,
    }
    assert job["messageId"]
    assert client.get(job["links"]["self"]).get_json() == job
    stored = database.jobs.find_one()
    assert (stored["provider"], stored["model_id"], stored["payload"]["wordCount"]) == ("local", "m-1", 60)


def test_a_job_of_high_priority_is_sent_to_the_high_lane(client: FlaskClient) -> None:
    high = client.post("/api/jobs", json={**ARTICLE_ORDER, "priority": "high"}).get_json()
    normal = client.post("/api/jobs", json={**ARTICLE_ORDER, "priority": "normal"}).get_json()
    assert (high["priority"], normal["priority"]) == ("high", "normal")
    assert (in_queue(lane="high"), in_queue(lane="normal")) == ({high["jobId"]: 1}, {normal["jobId"]: 1})


def test_another_priority_is_refused_with_those_there_are(client: FlaskClient, database: Any) -> None:
    answer = client.post("/api/jobs", json={**ARTICLE_ORDER, "priority": "urgent"})
    (error,) = answer.get_json()["errors"]
    assert (answer.status_code, error["field"]) == (422, "priority")
    assert "'normal'" in error["message"]
    assert database.jobs.count_documents({}) == 0


def test_with_sqs_away_a_job_is_accepted_all_the_same(client: FlaskClient, environment: Any) -> None:
    environment(AWS_ENDPOINT_URL=f"http://{NOWHERE}", AWS_ENDPOINT_URL_SQS=f"http://{NOWHERE}")
    answer = client.post("/api/jobs", json=ARTICLE_ORDER)
    assert (answer.status_code, answer.get_json()["messageId"]) == (202, None)


def test_a_job_expires_as_long_after_its_submission_as_was_asked(client: FlaskClient) -> None:
    job = client.post("/api/jobs", json={**ARTICLE_ORDER, "expiresIn": 3600}).get_json()
    lasts = datetime.fromisoformat(job["expiresAt"]) - datetime.fromisoformat(job["createdAt"])
    assert lasts == timedelta(hours=1)


@pytest.mark.parametrize("seconds", [0, -5, 14 * 86_400 + 1, "soon"])
def test_a_time_to_start_that_makes_no_sense_is_refused_by_name(client: FlaskClient, seconds: object) -> None:
    answer = client.post("/api/jobs", json={**ARTICLE_ORDER, "expiresIn": seconds})
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.get_json()["errors"]] == ["expiresIn"]


def test_a_field_that_means_nothing_is_refused_by_name(client: FlaskClient, database: Any) -> None:
    answer = client.post("/api/jobs", json={**ARTICLE_ORDER, "colour": "high"})
    (error,) = answer.get_json()["errors"]
    assert (answer.status_code, error["field"]) == (422, "colour")
    assert error["message"].startswith("colour is an unknown field: leave it out; known here are type, payload, priority")
    assert database.jobs.count_documents({}) == 0


def test_an_unknown_provider_is_refused_with_those_there_are(client: FlaskClient, database: Any) -> None:
    answer = client.post("/api/jobs", json={**ARTICLE_ORDER, "provider": "oracle"})
    (error,) = answer.get_json()["errors"]
    assert error["field"] == "provider"
    assert all(name in error["message"] for name in PROVIDERS)
    assert database.jobs.count_documents({}) == 0


def test_pages_hold_each_job_once_the_newest_first(client: FlaskClient) -> None:
    ids = [submitted(client, ARTICLE_ORDER) for _ in range(5)]
    seen: list[str] = []
    address = "/api/jobs?limit=2"
    for size in (2, 2, 1):
        page = client.get(address).get_json()
        assert len(page["jobs"]) == size
        seen += [job["jobId"] for job in page["jobs"]]
        address = f"/api/jobs?limit=2&cursor={page['next']}"
    assert page["next"] is None
    assert seen == ids[::-1]


def test_lists_are_filtered_by_type_and_status(client: FlaskClient) -> None:
    done, waiting = submitted(client, ARTICLE_ORDER), submitted(client, ARTICLE_ORDER)
    image = submitted(client, IMAGE_ORDER)
    finish_article(done)

    def listed(query: str) -> list[str]:
        return [job["jobId"] for job in client.get(f"/api/jobs?{query}").get_json()["jobs"]]

    assert listed("type=images") == [image]
    assert listed("status=completed") == [done]
    assert listed("type=articles&status=queued") == [waiting]


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=many", "limit"),
        ("status=lost", "status"),
        ("type=poems", "type"),
        ("cursor=nonsense", "cursor"),
        ("cursor=W10", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("cursor=" + encoded('[{"$oid": "x"}, "x"]'), "cursor"),
        ("cursor=" + encoded("99999999999999999999:x"), "cursor"),
        ("cursor=" + encoded("1:\0"), "cursor"),
        ("cursor=" + "W" * 501, "cursor"),
        ("q=", "q"),
        ("q=%3F%21", "q"),
        ("colour=red", "colour"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_by_name(client: FlaskClient, query: str, field: str) -> None:
    answer = client.get(f"/api/jobs?{query}")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.get_json()["errors"]] == [field]


def test_a_user_sees_nothing_of_anothers_job(signed_in: Any) -> None:
    client = signed_in("bob")
    job_id = submit(Order(kind="images", payload={"prompt": "Bees"}, user_id="ada")).id
    finish_image(job_id)
    for query in ("", "?q=bees", f"?q={job_id[:8]}", "?user=bob"):
        assert client.get(f"/api/jobs{query}").get_json()["jobs"] == []
    refused = client.get("/api/jobs?user=ada")
    assert (refused.status_code, refused.mimetype) == (403, "application/problem+json")
    for path in ("", "/result", "/media/image.png"):
        assert client.get(f"/api/jobs/{job_id}{path}").status_code == 404


def test_an_articles_result_is_json_or_markdown_as_asked(client: FlaskClient) -> None:
    job_id = submitted(client, ARTICLE_ORDER)
    finish_article(job_id)
    job = client.get(f"/api/jobs/{job_id}").get_json()
    as_json = client.get(job["links"]["result"])
    assert as_json.mimetype == "application/json"
    assert (as_json.get_json()["article"]["title"], as_json.get_json()["article"]["content"]) == ("Bees", ARTICLE)
    as_markdown = client.get(f"/api/jobs/{job_id}/result", headers={"Accept": "text/markdown"})
    assert as_markdown.content_type == "text/markdown; charset=utf-8"
    assert as_markdown.text == ARTICLE
    assert client.get(f"/api/jobs/{job_id}/result", headers={"Accept": "*/*"}).mimetype == "application/json"
    assert {"inputTokens": 5, "outputTokens": 7, "images": 0, "videoSeconds": 0, "cost": None}.items() <= job["usage"].items()


def test_a_result_that_is_not_there_is_a_conflict_that_names_the_state(client: FlaskClient) -> None:
    waiting, failed = submitted(client, ARTICLE_ORDER), submitted(client, ARTICLE_ORDER)
    fail(failed)
    answers = [client.get(f"/api/jobs/{job_id}/result") for job_id in (waiting, failed)]
    assert [answer.status_code for answer in answers] == [409, 409]
    assert "queued" in answers[0].get_json()["detail"]
    assert "failed" in answers[1].get_json()["detail"]
    assert "No bees today." in answers[1].get_json()["detail"]


@pytest.fixture
def picture(client: FlaskClient) -> str:
    job_id = submitted(client, IMAGE_ORDER)
    finish_image(job_id)
    (address,) = client.get(f"/api/jobs/{job_id}").get_json()["links"]["media"]
    return str(address)


def test_a_file_comes_whole(client: FlaskClient, picture: str) -> None:
    answer = client.get(picture)
    assert (answer.status_code, answer.data, answer.mimetype) == (200, PICTURE, "image/png")
    assert (answer.headers["Accept-Ranges"], answer.content_length) == ("bytes", len(PICTURE))
    assert answer.headers["Content-Disposition"] == "inline; filename=image.png"


@pytest.mark.parametrize(
    ("asked", "first", "last"), [("0-9", 0, 9), ("2000-", 2000, 2047), ("-5", 2043, 2047), ("300-99999", 300, 2047)]
)
def test_a_file_comes_in_ranges(client: FlaskClient, picture: str, asked: str, first: int, last: int) -> None:
    answer = client.get(picture, headers={"Range": f"bytes={asked}"})
    assert (answer.status_code, answer.data) == (206, PICTURE[first : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(PICTURE)}"


@pytest.mark.parametrize("asked", ["bytes=many", "bytes=5-1", "bytes=0-0,5-9", "lines=1-2", "x"])
def test_what_is_no_range_of_bytes_is_not_heeded(client: FlaskClient, picture: str, asked: str) -> None:
    answer = client.get(picture, headers={"Range": asked})
    assert (answer.status_code, answer.data) == (200, PICTURE)


def test_a_range_behind_the_end_is_a_problem_that_tells_the_size(client: FlaskClient, picture: str) -> None:
    answer = client.get(picture, headers={"Range": "bytes=9999-"})
    assert (answer.status_code, answer.mimetype) == (416, "application/problem+json")
    assert answer.headers["Content-Range"] == f"bytes */{len(PICTURE)}"


def test_a_file_that_the_client_has_is_not_sent_again(client: FlaskClient, picture: str) -> None:
    etag = client.get(picture).headers["ETag"]
    answer = client.get(picture, headers={"If-None-Match": etag})
    assert (answer.status_code, answer.data) == (304, b"")


def test_a_file_that_a_browser_would_run_is_downloaded(client: FlaskClient) -> None:
    job_id = submitted(client, IMAGE_ORDER)
    finish_image(job_id, name="image.svg", content_type="image/svg+xml")
    answer = client.get(f"/api/jobs/{job_id}/media/image.svg")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_file_in_s3_is_a_redirect_to_a_link_that_gives_it(client: FlaskClient, environment: Any, sqs: str) -> None:
    boto3.client("s3").create_bucket(
        Bucket="pressroom-web-test", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    environment(MEDIA_BUCKET="pressroom-web-test")
    job_id = submitted(client, IMAGE_ORDER)
    finish_image(job_id)
    answer = client.get(f"/api/jobs/{job_id}/media/image.png")
    assert answer.status_code == 302
    assert requests.get(answer.headers["Location"], timeout=60).content == PICTURE


def test_every_kind_tells_its_payload(client: FlaskClient) -> None:
    told = {kind["name"]: kind for kind in client.get("/api/kinds").get_json()["kinds"]}
    assert set(told) == set(KINDS)
    articles = told["articles"]
    assert articles["payload"]["properties"]["wordCount"]["maximum"] == 10_000
    assert (articles["maxAttempts"], articles["maxSeconds"]) == (3, 1_800)
