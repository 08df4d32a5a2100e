"""What Prometheus reads at /metrics."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from jobs import census
from jobs.counters import add, count, flush, observe
from jobs.life import FINAL, OPEN, Status
from jobs.outages import outages
from jobs.pauses import pauses
from jobs.workers import OwnDocument
from monitoring.glossary import METRICS
from providers.choice import PROVIDERS
from queues.catalogue import KINDS
from queues.queue import Outgoing, dead_letters_of
from tests.conftest import NOWHERE
from tests.jobs.jobs import document
from tests.other_processes import at_once

Labels = frozenset[tuple[str, str]]
FIVE_ATTEMPTS = """
from jobs.counters import add
for _ in range(5):
    add("attempts", kind="images")
print("null")
"""


@pytest.fixture(autouse=True)
def _nothing_counted_yet(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What earlier tests counted in this process is not written in the middle of this one; and SQS may answer at leisure."""
    flush()
    database.counters.delete_many({})
    monkeypatch.setattr("monitoring.queue_depths.PATIENCE_SECONDS", 60)


def families(client: FlaskClient) -> list[Metric]:
    answer = client.get("/metrics")
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    return [*text_string_to_metric_families(answer.text)]


def measured(client: FlaskClient, name: str) -> dict[Labels, float]:
    """The values of a metric by their labels."""
    return {
        frozenset(sample.labels.items()): sample.value
        for family in families(client)
        for sample in family.samples
        if sample.name == f"pressroom_{name}"
    }


def labels(**values: str) -> Labels:
    return frozenset(values.items())


def of(kind: str, found: Labels) -> bool:
    return ("kind", kind) in found


def test_jobs_are_counted_by_kind_and_status_and_none_is_zero(client: FlaskClient, database: Any) -> None:
    database.jobs.insert_many([document(Status.QUEUED), document(Status.QUEUED), document(Status.FAILED, kind="images")])
    jobs = measured(client, "jobs")
    assert jobs[labels(kind="articles", status="queued")] == 2
    assert jobs[labels(kind="images", status="failed")] == 1
    assert sum(jobs.values()) == 3
    assert {dict(each)["status"] for each in jobs} == {*Status}


def test_counting_jobs_reads_no_job_and_the_open_ones_no_key_of_the_others(client: FlaskClient, database: Any) -> None:
    measured(client, "jobs")  # the indexes are made
    database.jobs.insert_many([document("completed") for _ in range(300)])

    def examined(statuses: frozenset[Status]) -> tuple[int, int]:
        command = {"aggregate": "jobs", "pipeline": census.count(statuses), "cursor": {}, "hint": census.INDEX}
        told = database.command("explain", command, verbosity="executionStats")
        stats = told.get("executionStats") or told["stages"][0]["$cursor"]["executionStats"]
        return stats["totalDocsExamined"], stats["totalKeysExamined"]

    documents, keys = examined(FINAL)
    assert (documents, keys >= 300) == (0, True)
    documents, keys = examined(OPEN)
    assert (documents, keys < 2 * len(KINDS) * len(OPEN)) == (0, True)


def test_more_finished_jobs_than_can_be_counted_are_left_out_and_cost_no_other_metric(
    client: FlaskClient, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.jobs.insert_many([document(), *(document("completed") for _ in range(5_000))])
    slow = {"$match": {"$expr": {"$function": {"body": "function() { sleep(100); return true }", "args": [], "lang": "js"}}}}
    counted = census.count
    monkeypatch.setattr(
        census, "count", lambda statuses: [slow, *counted(statuses)] if statuses == FINAL else counted(statuses)
    )
    monkeypatch.setattr(census, "MOST_MILLISECONDS", 2_000)  # the open ones are counted in one
    jobs = measured(client, "jobs")
    assert jobs[labels(kind="articles", status="queued")] == 1
    assert not [each for each in jobs if ("status", "completed") in each]
    assert measured(client, "up") == {labels(): 1}
    assert measured(client, "queue_depth")


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
    handbacks = measured(client, "handbacks_total")
    assert {kind: handbacks[labels(kind=kind)] for kind in KINDS} == dict.fromkeys(KINDS, 0) | {"articles": 3, "images": 1}


def test_what_many_processes_count_often_is_summed(client: FlaskClient) -> None:
    before = measured(client, "attempts_total")[labels(kind="images")]
    at_once(3, then=FIVE_ATTEMPTS)
    add("attempts", 2, kind="images")  # in this process, which has written nothing of it yet
    assert measured(client, "attempts_total")[labels(kind="images")] == before + 17


def test_a_histogram_tells_how_many_lay_within_each_bound(client: FlaskClient) -> None:
    for seconds in (0.05, 1, 1.5, 20_000):
        observe("job_run_seconds", seconds, kind="thumbnails")
    buckets = {dict(each)["le"]: n for each, n in measured(client, "job_run_seconds_bucket").items() if of("thumbnails", each)}
    assert (buckets["0.1"], buckets["1.0"], buckets["2.0"], buckets["14400.0"], buckets["+Inf"]) == (1, 2, 3, 3, 4)
    assert measured(client, "job_run_seconds_sum")[labels(kind="thumbnails")] == pytest.approx(20_002.55)


def test_counts_outlive_mongodb_being_away(client: FlaskClient, environment: Any) -> None:
    before = measured(client, "jobs_failed_total")[labels(kind="videos")]
    uri = os.environ["MONGODB_URI"]
    environment(MONGODB_URI=f"mongodb://{NOWHERE}/?serverSelectionTimeoutMS=200")
    add("jobs_failed", 3, kind="videos")
    flush()
    environment(MONGODB_URI=uri)
    assert measured(client, "jobs_failed_total")[labels(kind="videos")] == before + 3


def test_every_metric_is_there_before_anything_has_happened_except_those_of_what_is_not_known_yet(client: FlaskClient) -> None:
    names = {sample.name for family in families(client) for sample in family.samples}
    unknown = {"worker_up_seconds", "worker_last_receive_seconds", "worker_free_slots", "relay_last_run_seconds"}
    unknown |= {
        "generations_total",
        "provider_requests_total",
        "provider_tokens_total",
        "provider_cost_total",
        "job_wait_seconds",
        "job_run_seconds",
    }
    assert {f"pressroom_{name}" for name in {*METRICS} - unknown} <= names


def test_the_queues_are_as_sqs_shows_them(client: FlaskClient) -> None:
    for priority in ("normal", "high", "high"):
        order = {"type": "articles", "payload": {"topic": "Bees"}, "priority": priority}
        assert client.post("/api/jobs", json=order).status_code == 202
    dead_letters_of("images").send(Outgoing("{}"))
    depth = measured(client, "queue_depth")
    assert (depth[labels(queue="articles", lane="normal")], depth[labels(queue="articles", lane="high")]) == (1, 2)
    assert measured(client, "dead_letters")[labels(queue="images")] == 1
    assert measured(client, "queue_in_flight")[labels(queue="articles", lane="high")] == 0
    assert measured(client, "jobs_created_total")[labels(kind="articles")] >= 3
    assert measured(client, "sqs_up") == {labels(): 1}


def test_with_sqs_away_the_scrape_leaves_out_its_depths_and_tells_the_rest(client: FlaskClient, environment: Any) -> None:
    environment(AWS_ENDPOINT_URL_SQS=f"http://{NOWHERE}", AWS_ENDPOINT_URL=f"http://{NOWHERE}")
    assert measured(client, "sqs_up") == {labels(): 0}
    assert not measured(client, "queue_depth")
    assert measured(client, "jobs")


def test_a_paused_queue_and_a_provider_that_is_down_are_told(client: FlaskClient) -> None:
    assert not any(measured(client, "queue_paused").values())
    pauses().pause("videos", "the disk is full", by="ada")
    outages().open("service", "no connection", frozenset())
    assert measured(client, "queue_paused")[labels(queue="videos")] == 1
    assert measured(client, "provider_open") == {labels(provider=name): float(name == "service") for name in PROVIDERS}


def test_the_oldest_job_that_could_start_is_told_by_its_queue(client: FlaskClient, database: Any) -> None:
    database.jobs.insert_one(document(created_at=datetime.now(UTC) - timedelta(seconds=500)))
    oldest = measured(client, "queue_oldest_startable_seconds")
    assert 500 <= oldest[labels(queue="articles")] < 1_000
    assert oldest[labels(queue="images")] == 0


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
