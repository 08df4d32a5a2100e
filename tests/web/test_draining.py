"""Orders of a kind whose queue is being emptied."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from jobs.draining import drains
from jobs.submit import Order, submit
from queues.queue import queue_for

ARTICLE = {"topic": "Bees"}
IMAGE = {"type": "image", "prompt": "A bee"}


@pytest.mark.parametrize(
    ("kind", "path", "body"),
    [
        ("articles", "/api/jobs", {"type": "articles", "payload": ARTICLE}),
        ("articles", "/api/content/generate", ARTICLE),
        ("articles", "/api/content/generate", {"topics": ["Bees", "Ants"]}),
        ("images", "/api/media/generate", IMAGE),
        ("videos", "/api/media/generate", IMAGE | {"type": "video"}),
    ],
)
def test_an_order_is_refused_with_the_queues_name_and_others_are_not(
    client: FlaskClient, kind: str, path: str, body: dict[str, Any]
) -> None:
    for other in {"articles", "images", "videos"} - {kind}:
        drains().begin(other, "ann")
    assert client.post(path, json=body).status_code == 202
    drains().begin(kind, "ann")
    before = queue_for(kind).count()
    refused = client.post(path, json=body)
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.mimetype == "application/problem+json"
    assert kind in refused.get_json()["detail"]
    assert queue_for(kind).count() == before


def test_a_retry_is_an_order_and_a_cancel_is_none(client: FlaskClient) -> None:
    job = submit(Order(kind="articles", payload=ARTICLE, user_id="local"))
    drains().begin("articles", "ann")
    assert client.post(f"/api/jobs/{job.id}/cancel").status_code == 202
    assert client.post(f"/api/jobs/{job.id}/retry").status_code == 503
    drains().end("articles", "ann")
    assert client.post(f"/api/jobs/{job.id}/retry").status_code == 202
