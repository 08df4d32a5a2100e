"""Custom metrics at a CloudWatch of our own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.database import database as jobs_database
from jobs.relay import Relay
from monitoring.cloudwatch import publish
from queues.clients import QueueError, make_client
from tests.conftest import NOWHERE
from tests.jobs.jobs import document
from tests.other_processes import at_once


@pytest.fixture
def asked_for(database: Any, queues: Any, environment: Callable[..., None]) -> None:
    environment(CLOUDWATCH_METRICS="on")


def insert(*documents: dict[str, Any]) -> None:
    jobs_database().collection("jobs").insert_many(documents)


def told(name: str, queue: str) -> list[float]:
    """What CloudWatch was told of a queue of this test."""
    now = datetime.now(UTC)
    answer = make_client("cloudwatch").get_metric_statistics(
        Namespace="Pressroom",
        MetricName=name,
        Dimensions=[{"Name": "QueueName", "Value": queue}],
        StartTime=now - timedelta(minutes=10),
        EndTime=now + timedelta(minutes=10),
        Period=60,
        Statistics=["Sum"],
    )
    return [point["Sum"] for point in sorted(answer["Datapoints"], key=lambda point: point["Timestamp"])]


def articles_of(queues: dict[str, str]) -> str:
    return next(name for name in queues if name.endswith("-articles"))


def let_a_minute_pass(database: Any) -> None:
    """As if the last turn had been a minute earlier."""
    database.turns.update_one({}, [{"$set": {name: {"$subtract": [f"${name}", 60_000]} for name in ("until", "next_at")}}])


def test_it_is_told_what_waits_and_what_ended_since_the_last_time(
    asked_for: None, database: Any, queues: dict[str, str]
) -> None:
    insert(document(), document(), document("processing"), document("completed"))
    publish()
    assert told("JobsStartable", articles_of(queues)) == [2]
    assert told("JobsProcessing", articles_of(queues)) == [1]
    assert told("JobsCompleted", articles_of(queues)) == [0]  # it began just now
    let_a_minute_pass(database)
    now = datetime.now(UTC)
    insert(
        *(document("completed", finished_at=now - timedelta(seconds=n)) for n in (2, 5)), document("failed", finished_at=now)
    )
    insert(document("completed", finished_at=now - timedelta(minutes=5)))
    publish()
    assert sum(told("JobsCompleted", articles_of(queues))) == 3
    assert sum(told("JobsFailed", articles_of(queues))) == 1


def test_of_several_relays_one_sends_each_minutes_metrics(asked_for: None, queues: dict[str, str]) -> None:
    insert(document())
    at_once(4, then="from monitoring.cloudwatch import publish; publish(); print('null')")
    assert told("JobsStartable", articles_of(queues)) == [1]


def test_unless_it_is_asked_for_nothing_is_sent(database: Any, queues: dict[str, str]) -> None:
    insert(document())
    publish()
    assert told("JobsStartable", articles_of(queues)) == []


def test_cloudwatch_being_away_is_said_in_our_words_and_holds_up_nothing_else(
    asked_for: None, environment: Callable[..., None]
) -> None:
    environment(CLOUDWATCH_METRICS="on", AWS_ENDPOINT_URL_CLOUDWATCH=f"http://{NOWHERE}")
    with pytest.raises(QueueError, match="CloudWatch"):
        publish()
    report = Relay(["articles"], also=[publish]).round()
    assert not report.faults  # this minute's turn is over
