"""Every call of the API, with MongoDB's profiler looking on: what is asked of a collection that grows is found by an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from jobs.submit import Order, submit
from tests.jobs.jobs import document
from tests.web.working import fail, finish_article, finish_image

WHOLE = {
    "counters": "a document for each counter",
    "draining": "a document for each drained kind",
    "outages": "a document for each provider",
    "pauses": "a document for each paused queue",
    "relays": "a document for each relay that runs",
    "workers": "a document for each worker that runs",
    "queue_samples": "the samples of the last hours",
}
"""Collections that are read whole, and that no number of jobs makes larger."""
PAGES = {"pages", "sessions", "static", "docs", "openapi"}
"""Blueprints that are no API: pages ask what the API asks."""
TOPIC = {"topic": "Bees"}


@pytest.fixture
def profile(client: FlaskClient, database: Any) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What was asked of MongoDB since it was asked last."""
    database.jobs.insert_many(
        document(
            ("queued", "completed", "failed", "retrying")[n % 4],
            user_id=f"user-{n % 7}",
            kind=("articles", "images")[n % 2],
            created_at=datetime.now(UTC) - timedelta(seconds=n),
        )
        for n in range(200)
    )
    database.command("profile", 2)

    def asked() -> list[dict[str, Any]]:
        database.command("profile", 0)
        found = [each for each in database["system.profile"].find() if not each["ns"].endswith("system.profile")]
        database["system.profile"].drop()
        database.command("profile", 2)
        return found

    yield asked
    database.command("profile", 0)
    database["system.profile"].drop()


def jobs_in_all_states() -> dict[str, str]:
    """Jobs of the client's user, by what became of them."""
    made = {
        what: submit(Order(kind=kind, payload=payload, user_id="local")).id
        for what, kind, payload in [
            *(("article", "articles", TOPIC), ("failed", "articles", TOPIC), ("waiting", "articles", TOPIC)),
            *(
                ("image", "images", {"prompt": "Bees"}),
                ("resume", "resumes", {"action": "CREATE", "resumeId": "cv", "data": {}}),
            ),
        ]
    }
    finish_article(made["article"])
    finish_image(made["image"])
    fail(made["failed"])
    return made


def calls(jobs: dict[str, str]) -> dict[tuple[str, str], list[tuple[str, Any]]]:
    """What is asked, by method and rule: paths and bodies."""
    article, failed, waiting, image = (jobs[what] for what in ("article", "failed", "waiting", "image"))
    asset = {
        "world_id": "w",
        "asset_type": "IMAGE",
        "prompt_spec": {"description": "Bees"},
        "provider": "local",
        "model_id": "m",
    }
    event = {"event": "article_view", "subject": "bees", "at": datetime.now(UTC).isoformat(), "data": {}}
    of_jobs = ["", "?type=articles", "?status=completed", "?type=articles&status=failed", "?q=bees", "?q=bees&type=articles"]
    order = {"type": "articles", "payload": TOPIC}
    return {
        ("POST", "/api/content/generate"): [("", {"mode": "topic", **TOPIC})],
        ("GET", "/api/content/jobs/<job_id>"): [(article, None)],
        ("POST", "/api/media/generate"): [("", {"type": "image", "prompt": "Bees"})],
        ("GET", "/api/media/generate"): [(f"?jobId={image}", None)],
        ("POST", "/assets/asset-jobs"): [("", asset)],
        ("GET", "/assets/asset-jobs/<job_id>"): [(image, None)],
        ("GET", "/api/resumes/<resume_id>"): [("cv", None)],
        ("POST", "/api/jobs"): [("", order), ("", order)],
        ("GET", "/api/jobs"): [(asked, None) for asked in of_jobs],
        ("GET", "/api/jobs/<job_id>"): [(waiting, None), (failed, None)],
        ("POST", "/api/jobs/<job_id>/cancel"): [(waiting, {})],
        ("POST", "/api/jobs/<job_id>/retry"): [(failed, {})],
        ("POST", "/api/jobs/batch"): [("", {"jobs": [order] * 12})],
        ("GET", "/api/jobs/<job_id>/result"): [(article, None), (image, None)],
        ("GET", "/api/jobs/<job_id>/media/<name>"): [(f"{image} image.png", None)],
        ("GET", "/api/jobs/<job_id>/thumbnail"): [(image, None)],
        ("GET", "/api/jobs/<job_id>/events"): [(article, None)],
        ("GET", "/api/events"): [("", None)],
        ("POST", "/api/analytics/events"): [("", {"events": [event]})],
        ("GET", "/api/analytics"): [("?subject=bees", None), ("?by=day&event=article_view", None)],
        ("GET", "/api/queues"): [("", None)],
        ("POST", "/api/queues/<queue>/pause"): [("articles", {"reason": "to see"})],
        ("POST", "/api/queues/<queue>/resume"): [("articles", {})],
        ("GET", "/api/queues/<queue>/dead-letters"): [("articles", None)],
        ("POST", "/api/queues/<queue>/redrive"): [("articles", {"filter": {}})],
        ("POST", "/api/queues/<queue>/drop"): [("articles", {"filter": {}, "dryRun": True})],
        ("GET", "/api/kinds"): [("", None)],
        ("GET", "/healthz"): [("", None)],
        ("GET", "/readyz"): [("", None)],
        ("GET", "/metrics"): [("", None)],
        ("GET", "/api/usage"): [("", None)],
        ("GET", "/api/webhooks/secret"): [("", None)],
        ("GET", "/api/jobs/<job_id>/deliveries"): [(article, None)],
    }


def path_of(rule: str, said: str) -> str:
    if said.startswith("?"):
        return rule + said
    for value in said.split():
        before, _, rest = rule.partition("<")
        rule = before + value + rest.partition(">")[2]
    return rule


def test_every_call_of_the_api_asks_mongodb_by_an_index(
    client: FlaskClient, profile: Callable[[], list[dict[str, Any]]]
) -> None:
    wanted = calls(jobs_in_all_states())
    rules = {
        (method, rule.rule)
        for rule in client.application.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] not in PAGES
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert rules == set(wanted), "each rule of the API has its calls here"
    profile()
    faults = []
    for (method, rule), asks in wanted.items():
        for said, body in asks:
            answer = client.open(path_of(rule, said), method=method, json=body, buffered=False)
            assert answer.status_code < 300 or rule.endswith(("/thumbnail", "/resumes/<resume_id>")), (rule, answer.text)
            next(iter(answer.response), None)
            answer.close()
            faults += [
                f"{method} {path_of(rule, said)}: {each['ns']} {each['command']}"
                for each in profile()
                if "COLLSCAN" in each.get("planSummary", "") and each["ns"].partition(".")[2] not in WHOLE
            ]
    assert not faults, "\n".join(faults)
