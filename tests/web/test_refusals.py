"""Whatever is sent wrong: a problem that names the field, and nothing inserted."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from queues.catalogue import KINDS

TOO_LARGE = 10 * 1024 * 1024


def article(**payload: Any) -> dict[str, Any]:
    return {"type": "articles", "payload": {"topic": "Bees", **payload}}


def raw_article(payload: str) -> str:
    return f'{{"type": "articles", "payload": {{"topic": "Bees", {payload}}}}}'


JSON_AT_FAULT: list[tuple[str, str, str, str]] = [
    # path, body, field, words of the remedy
    ("/api/jobs", json.dumps(article(wordCount=-1)), "payload.wordCount", "is -1: send 50 or more"),
    ("/api/jobs", json.dumps(article(wordCount=10_001)), "payload.wordCount", "send 10,000 or less"),
    ("/api/jobs", json.dumps(article(wordCount="many")), "payload.wordCount", 'the text "many": send a whole number'),
    ("/api/jobs", json.dumps(article(wordCount=99.5)), "payload.wordCount", "send a whole number"),
    ("/api/jobs", json.dumps(article(wordCount=True)), "payload.wordCount", "is true: send a whole number"),
    ("/api/jobs", json.dumps(article(wordCount=None)), "payload.wordCount", "is null: send a whole number"),
    ("/api/jobs", json.dumps(article(wordCount=2**63)), "payload.wordCount", "too large a number"),
    ("/api/jobs", raw_article('"wordCount": NaN'), "payload.wordCount", "neither NaN nor Infinity"),
    ("/api/jobs", raw_article('"wordCount": -Infinity'), "payload.wordCount", "neither NaN nor Infinity"),
    ("/api/jobs", raw_article('"wordCount": 1e999'), "payload.wordCount", "send a smaller one"),
    ("/api/jobs", raw_article('"wordCount": ' + "9" * 5000), "payload.wordCount", "send a smaller one"),
    ("/api/jobs", json.dumps(article(seoOptimization="yes")), "payload.seoOptimization", "send true or false"),
    ("/api/jobs", json.dumps(article(topic="")), "payload.topic", "send at least 1 character"),
    ("/api/jobs", json.dumps(article(topic=" \n ")), "payload.topic", "send at least 1 character"),
    ("/api/jobs", json.dumps(article(topic="b" * 301)), "payload.topic", "send at most 300 characters"),
    ("/api/jobs", json.dumps(article(topic=7)), "payload.topic", "is 7: send a text"),
    ("/api/jobs", json.dumps(article(topic="a\0b")), "payload.topic", "the character NUL"),
    ("/api/jobs", raw_article('"tone": "\\ud800"'), "payload.tone", "half of a surrogate pair"),
    ("/api/jobs", raw_article('"t\\u0000": 1'), "payload.t\\x00", "the character NUL"),
    ("/api/jobs", json.dumps(article(keywords=["a", 5])), "payload.keywords[1]", "send a text"),
    ("/api/jobs", json.dumps(article(keywords=["k"] * 21)), "payload.keywords", "21 entries: send at most 20"),
    ("/api/jobs", json.dumps(article(mode="outline")), "payload.outline", "mode 'outline' needs it"),
    ("/api/jobs", json.dumps(article(mode="dream")), "payload.mode", "send 'topic', 'keywords' or 'outline'"),
    ("/api/jobs", json.dumps(article(language="!")), "payload.language", "send a language tag"),
    ("/api/jobs", json.dumps(article(wordcount=100)), "payload.wordcount", "unknown field"),
    ("/api/jobs", json.dumps(article(word_count=100)), "payload.word_count", "unknown field"),
    ("/api/jobs", '{"type": "articles", "payload": []}', "payload", "is a list: send an object"),
    ("/api/jobs", '{"type": "articles"}', "payload", "is missing: add it"),
    ("/api/jobs", '{"type": "poems", "payload": {}}', "type", f"send one of {', '.join(KINDS)}"),
    ("/api/jobs", '{"type": ["articles"], "payload": {}}', "type", "send one of articles"),
    ("/api/jobs", '{"payload": {}}', "type", "is missing: add one of articles"),
    ("/api/jobs", "[]", "body", "is a list: send an object"),
    ("/api/jobs", "null", "body", "is null: send an object"),
    ("/api/jobs", json.dumps({**article(), "modelId": ""}), "modelId", "send at least 1 character"),
    ("/api/jobs", '{"type": "images", "payload": {"prompt": "x", "size": "12"}}', "payload.size", "width and height in pixels"),
    ("/api/jobs", '{"type": "images", "payload": {"prompt": "x", "size": "64x9999"}}', "payload.size", "64 to 4096"),
    (
        "/api/jobs",
        '{"type": "images", "payload": {"prompt": "x", "size": "６４x６４"}}',
        "payload.size",
        "width and height in pixels",
    ),
    ("/api/jobs", '{"type": "videos", "payload": {"prompt": "x", "duration": 61}}', "payload.duration", "60 or less"),
    ("/api/content/generate", '{"mode": "topic"}', "topic", "mode 'topic' needs it"),
    ("/api/content/generate", '{"topic": "a", "wordCount": -1}', "wordCount", "is -1: send 50 or more"),
    ("/api/content/generate", '{"topics": []}', "topics", "0 entries: send at least 1"),
    ("/api/content/generate", json.dumps({"topics": ["t"] * 101}), "topics", "101 entries: send at most 100"),
    ("/api/content/generate", '{"topics": ["a", ""]}', "topics[1]", "send at least 1 character"),
    ("/api/content/generate", '{"topics": ["a"], "topic": "b"}', "topics", "can't be sent with topic"),
    ("/api/content/generate", '{"topics": ["a"], "mode": "keywords"}', "topics", "can't be sent with mode 'keywords'"),
    ("/api/content/generate", '{"topic": "a", "ignored": {"b": ["\\u0000"]}}', "ignored.b[0]", "the character NUL"),
    ("/api/media/generate", '{"type": "image"}', "prompt", "is missing: add it"),
    ("/api/media/generate", '{"type": "audio", "prompt": "x"}', "type", "send one of image, video"),
    ("/api/media/generate", '{"prompt": "x"}', "type", "add one of image, video"),
]


@pytest.mark.parametrize(("path", "body", "field", "words"), JSON_AT_FAULT)
def test_a_field_at_fault_is_named_with_its_fault_and_the_remedy(
    lonely_client: FlaskClient, path: str, body: str, field: str, words: str
) -> None:
    # MongoDB can't be reached here: had anything been inserted, the answer would be 503
    answer = lonely_client.post(path, data=body, content_type="application/json")
    assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
    problem = answer.get_json()
    assert [error["field"] for error in problem["errors"]] == [field]
    (message,) = [error["message"] for error in problem["errors"]]
    assert message.startswith(field)
    assert words in message
    assert message.endswith(".")
    assert (problem["type"], problem["status"]) == ("about:blank", 422)
    assert field in problem["detail"]
    assert problem.get("success") is (None if path == "/api/jobs" else False)


def test_every_fault_is_named_at_once(lonely_client: FlaskClient) -> None:
    body = {"type": "articles", "payload": {"topic": 1, "wordCount": 1, "x": 1}, "provider": "?", "y": 1}
    fields = {error["field"] for error in lonely_client.post("/api/jobs", json=body).get_json()["errors"]}
    assert fields == {"payload.topic", "payload.wordCount", "payload.x", "provider", "y"}


def test_a_thousand_faults_make_a_short_answer(lonely_client: FlaskClient) -> None:
    answer = lonely_client.post("/api/jobs", json={**article(), **{f"field{n}": n for n in range(1000)}})
    assert (answer.status_code, len(answer.get_json()["errors"])) == (422, 100)


def test_deep_nesting_is_refused_however_deep(lonely_client: FlaskClient) -> None:
    for depth in (40, 900, 100_000):
        body = '{"type": "articles", "payload": ' + "[" * depth + "]" * depth + "}"
        answer = lonely_client.post("/api/jobs", data=body, content_type="application/json")
        assert answer.status_code in (400, 422)
        assert "nested too deeply" in answer.text


@pytest.mark.parametrize(
    ("body", "content_type", "status", "words"),
    [
        (b"", "application/json", 400, "no body"),
        (b" \n", "application/json", 400, "no body"),
        (b'{"type": ', "application/json", 400, "not JSON: Expecting value at line 1, column 10"),
        (b"{'type': 1}", "application/json", 400, "not JSON"),
        (b'{"type": "articles"} {}', "application/json", 400, "not JSON"),
        (b'{"type": "\xff"}', "application/json", 400, "not UTF-8"),
        (b'{"type": "a\nb"}', "application/json", 400, "not JSON"),
        (b"type=articles", "application/x-www-form-urlencoded", 415, "Content-Type: application/json"),
        (b'{"type": "articles"}', "text/plain", 415, "Content-Type: application/json"),
        (b'{"type": "articles"}', None, 415, "Content-Type: application/json"),
        (b"a" * TOO_LARGE, "application/json", 413, "1 MiB"),
    ],
)
def test_a_body_that_is_no_json_is_a_problem(
    lonely_client: FlaskClient, body: bytes, content_type: str | None, status: int, words: str
) -> None:
    for path in ("/api/jobs", "/api/content/generate", "/api/media/generate"):
        answer = lonely_client.post(path, data=body, content_type=content_type)
        assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
        assert words in answer.get_json()["detail"]
        assert answer.get_json().get("success") is (None if path == "/api/jobs" else False)


def test_a_packed_body_is_refused_by_its_header(lonely_client: FlaskClient) -> None:
    packed = gzip.compress(json.dumps(article()).encode())
    answer = lonely_client.post("/api/jobs", data=packed, headers={"Content-Encoding": "gzip"}, content_type="application/json")
    assert (answer.status_code, answer.mimetype) == (415, "application/problem+json")
    assert 'the text "gzip" in Content-Encoding' in answer.get_json()["detail"]


def test_a_body_with_json_of_another_name_is_json(lonely_client: FlaskClient) -> None:
    answer = lonely_client.post("/api/jobs", data="{}", content_type="application/vnd.api+json; charset=utf-8")
    assert answer.status_code == 422


def test_unknown_paths_and_methods_are_problems(lonely_client: FlaskClient) -> None:
    missing, wrong = lonely_client.get("/api/poems"), lonely_client.delete("/api/jobs")
    assert (missing.status_code, missing.mimetype) == (404, "application/problem+json")
    assert (wrong.status_code, wrong.mimetype) == (405, "application/problem+json")
    assert {"GET", "POST"} <= {method.strip() for method in wrong.headers["Allow"].split(",")}


def test_with_mongodb_away_the_answer_says_when_to_come_again(lonely_client: FlaskClient) -> None:
    for answer in (lonely_client.post("/api/jobs", json=article()), lonely_client.get("/api/jobs")):
        assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
        assert int(answer.headers["Retry-After"]) > 0


def test_nothing_is_inserted_by_what_is_refused(client: FlaskClient, database: Any) -> None:
    for path, body, _, _ in JSON_AT_FAULT:
        client.post(path, data=body, content_type="application/json")
    assert database.jobs.count_documents({}) == 0


def test_what_we_did_not_foresee_is_said_in_plain_words_and_logged_whole(
    client: FlaskClient, database: Any, capsys: pytest.CaptureFixture[str], environment: Any
) -> None:
    from web import create_app

    environment(LOG_FORMAT="json")
    job_id = client.post("/api/jobs", json=article()).get_json()["jobId"]
    database.jobs.update_one({"_id": job_id}, {"$unset": {"progress": ""}})  # a document that no version of ours wrote
    answer = create_app().test_client().get(f"/api/jobs/{job_id}")
    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    assert "Traceback" not in answer.text
    assert "progress" not in answer.text
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (entry,) = [line for line in lines if line["event"] == "request failed"]
    assert entry["exception"]
    assert (entry["request_id"], entry["job_id"]) == (answer.headers["X-Request-Id"], job_id)
