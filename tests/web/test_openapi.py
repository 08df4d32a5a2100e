"""The API's description is valid, whole, and true to what the API answers; /docs shows all of it."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import jsonschema
import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from jobs.life import Status
from queues.catalogue import KINDS
from tests.web.working import finish_article, finish_image
from web import create_app
from web.operations import operation_of

UNDESCRIBED = {"docs", "pages", "sessions", "static"}
"""Blueprints of pages, not of calls."""


@pytest.fixture
def described() -> dict[str, Any]:
    document: dict[str, Any] = create_app().test_client().get("/openapi.json").get_json()
    return document


def test_the_document_is_valid_openapi(described: dict[str, Any]) -> None:
    assert described["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(described).validate()


def test_every_route_is_described() -> None:
    app = create_app()
    missing = [
        name
        for name, view in app.view_functions.items()
        if operation_of(view) is None and name.partition(".")[0] not in UNDESCRIBED
    ]
    assert not missing, f"put @describe on {missing}"


def test_every_kind_can_be_submitted(described: dict[str, Any]) -> None:
    order = described["components"]["schemas"]["JobOrder"]
    assert set(order["discriminator"]["mapping"]) == set(KINDS)


def operations(described: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for methods in described["paths"].values() for operation in methods.values()]


def check(described: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    whole = {**schema, "components": described["components"]}
    jsonschema.validate(value, whole, jsonschema.Draft202012Validator)


def test_every_example_is_what_its_schema_says(described: dict[str, Any]) -> None:
    for operation in operations(described):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            for example in content["examples"].values():
                check(described, content["schema"], example["value"])
        for answer in operation["responses"].values():
            for content in answer.get("content", {}).values():
                if "example" in content:
                    check(described, content["schema"], content["example"])


def test_every_example_of_an_order_is_accepted(client: FlaskClient, described: dict[str, Any]) -> None:
    for path, methods in described["paths"].items():
        for content in methods.get("post", {}).get("requestBody", {}).get("content", {}).values():
            for example in content["examples"].values():
                answer = client.post(path.replace("{queue}", "articles"), json=example["value"])
                assert str(answer.status_code) in {status for status in methods["post"]["responses"] if status < "300"}


def test_answers_are_what_their_schemas_say(client: FlaskClient, described: dict[str, Any]) -> None:
    article = client.post("/api/jobs", json={"type": "articles", "payload": {"topic": "Bees"}})
    image = client.post("/api/media/generate", json={"type": "image", "prompt": "Bees"})
    many = client.post("/api/content/generate", json={"topics": ["Bees", "Wasps"]})
    article_id, image_id = article.get_json()["jobId"], image.get_json()["jobId"]
    finish_article(article_id)
    finish_image(image_id)
    told = [
        ("post", "/api/jobs", article),
        ("post", "/api/media/generate", image),
        ("post", "/api/content/generate", many),
        ("get", "/api/content/jobs/{jobId}", client.get(f"/api/content/jobs/{article_id}")),
        ("get", "/api/media/generate", client.get(f"/api/media/generate?jobId={image_id}")),
        ("get", "/api/jobs", client.get("/api/jobs")),
        ("get", "/api/jobs/{jobId}", client.get(f"/api/jobs/{image_id}")),
        ("get", "/api/jobs/{jobId}/result", client.get(f"/api/jobs/{image_id}/result")),
        ("get", "/api/jobs/{jobId}/result", client.get(f"/api/jobs/{article_id}/result")),
        ("get", "/api/kinds", client.get("/api/kinds")),
        ("get", "/healthz", client.get("/healthz")),
        ("get", "/readyz", client.get("/readyz")),
        ("get", "/api/jobs", client.get("/api/jobs?limit=0")),
        ("get", "/api/jobs/{jobId}", client.get("/api/jobs/nobody")),
    ]
    for method, path, answer in told:
        content = described["paths"][path][method]["responses"][str(answer.status_code)]["content"]
        check(described, content[answer.mimetype]["schema"], answer.get_json())


def test_the_page_shows_every_call_every_state_and_a_command_for_each(
    lonely_client: FlaskClient, described: dict[str, Any]
) -> None:
    page = unescape(lonely_client.get("/docs").text)
    for path in described["paths"]:
        assert path in page
    for operation in operations(described):
        assert operation["summary"] in page
        assert operation["x-codeSamples"]
        for command in operation["x-codeSamples"]:
            assert command["source"] in page
    for status in Status:
        assert f">{status}</code>" in page


def test_the_page_is_whole_in_itself(lonely_client: FlaskClient) -> None:
    answer = lonely_client.get("/docs")
    assert not re.findall(r"<link[^>]+stylesheet|<script[^>]+src=|<img|@import|url\(", answer.text)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    (nonce,) = set(re.findall(r"nonce=\"([^\"]+)\"", answer.text))
    assert f"'nonce-{nonce}'" in policy


def test_a_name_in_the_request_can_put_nothing_into_the_page(lonely_client: FlaskClient) -> None:
    answer = lonely_client.get("/docs", headers={"Host": "a<script>b"})
    assert "a<script>b" not in answer.text
