"""What Prometheus reads at /metrics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from jobs.census import COUNT, INDEX
from jobs.counters import count
from jobs.life import Status
from jobs.workers import OwnDocument
from tests.jobs.jobs import document

Labels = frozenset[tuple[str, str]]


def measured(client: FlaskClient, name: str) -> dict[Labels, float]:
    """The values of a metric by their labels."""
    answer = client.get("/metrics")
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    families = text_string_to_metric_families(answer.text)
    return {
        frozenset(sample.labels.items()): sample.value
        for family in families
        for sample in family.samples
        if sample.name == f"pressroom_{name}"
    }


def labels(**values: str) -> Labels:
    return frozenset(values.items())


def test_jobs_are_counted_by_kind_and_status_and_none_is_zero(client: FlaskClient, database: Any) -> None:
    database.jobs.insert_many([document(Status.QUEUED), document(Status.QUEUED), document(Status.FAILED, kind="images")])
    jobs = measured(client, "jobs")
    assert jobs[labels(kind="articles", status="queued")] == 2
    assert jobs[labels(kind="images", status="failed")] == 1
    assert sum(jobs.values()) == 3
    assert {dict(each)["status"] for each in jobs} == {*Status}


def test_counting_jobs_reads_no_job(client: FlaskClient, database: Any) -> None:
    measured(client, "jobs")  # the indexes are made
    database.jobs.insert_many([document() for _ in range(300)])
    told = database.command(
        "explain", {"aggregate": "jobs", "pipeline": COUNT, "cursor": {}, "hint": INDEX}, verbosity="executionStats"
    )
    stats = told.get("executionStats") or told["stages"][0]["$cursor"]["executionStats"]
    assert (stats["totalDocsExamined"], stats["totalKeysExamined"] >= 300) == (0, True)


def test_a_worker_says_how_long_it_is_up_and_when_it_last_received(client: FlaskClient) -> None:
    long_ago = monotonic() - 1_000
    OwnDocument("w@host").write(
        slots=1, running=0, last_receive={"articles": long_ago, "images": monotonic()}, last_attempt={"articles": monotonic()}
    )
    silent = measured(client, "worker_last_receive_seconds")
    assert silent[labels(worker="w@host", queue="articles")] >= 1_000 > silent[labels(worker="w@host", queue="images")]
    assert 0 <= measured(client, "worker_up_seconds")[labels(worker="w@host")] < 1_000


def test_a_worker_that_is_gone_is_measured_no_more(client: FlaskClient, database: Any) -> None:
    OwnDocument("w@host").write(slots=1, running=0, last_receive={}, last_attempt={})
    assert measured(client, "worker_up_seconds")
    database.workers.update_one({}, {"$set": {"gone_at": datetime.now(UTC) - timedelta(hours=1)}})
    assert not measured(client, "worker_up_seconds")


def test_the_relay_that_ran_last_is_the_one_that_counts(client: FlaskClient, database: Any) -> None:
    assert not measured(client, "relay_last_run_seconds")
    for hours in (1, 3):
        database.relays.insert_one({"_id": f"relay-{hours}", "at": datetime.now(UTC) - timedelta(hours=hours)})
    assert 3_600 <= measured(client, "relay_last_run_seconds")[labels()] < 3 * 3_600


def test_what_is_counted_seldom_is_a_counter_of_its_own(client: FlaskClient) -> None:
    count("handbacks", kind="articles")
    count("handbacks", 2, kind="articles")
    count("handbacks", kind="images")
    assert measured(client, "handbacks_total") == {labels(kind="articles"): 3, labels(kind="images"): 1}


def test_with_mongodb_away_the_scrape_says_so_and_claims_nothing(client: FlaskClient, lonely_client: FlaskClient) -> None:
    answer = lonely_client.get("/metrics")
    assert answer.status_code == 200
    said = [line for line in answer.text.splitlines() if not line.startswith("#")]
    assert said == ["pressroom_up 0.0"]


def test_with_mongodb_there_it_says_so(client: FlaskClient) -> None:
    assert measured(client, "up") == {labels(): 1}


def test_openmetrics_is_spoken_to_who_asks_for_it(client: FlaskClient) -> None:
    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.mimetype == "application/openmetrics-text"
    assert answer.text.endswith("# EOF\n")


def test_numbers_of_the_fleet_are_not_for_everybody(lonely_client: FlaskClient) -> None:
    assert lonely_client.get("/metrics", environ_base={"REMOTE_ADDR": "192.0.2.7"}).status_code == 403
