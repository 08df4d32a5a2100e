"""Custom metrics for CloudWatch, namespace `Pressroom`, each minute, where `CLOUDWATCH_METRICS=on`: one relay sends them.

What SQS itself tells CloudWatch (depths, ages) is not repeated: here is what only MongoDB knows. They cost what AWS asks for
custom metrics, so they are off by default. A relay killed between taking its turn and sending costs one minute's numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pymongo import ReturnDocument

from jobs.backlog import backlogs
from jobs.database import Document, available, database
from jobs.expressions import NOW, later, literal
from jobs.life import Status
from queues.catalogue import KINDS, prefixed
from queues.clients import make_client, translated
from queues.policy import METRICS_NAMESPACE
from settings import settings

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

EVERY_SECONDS = 60
LONGEST = timedelta(minutes=15)
"""What ended longer ago is not told any more, where no relay ran for a while."""
MOST_AT_ONCE = 1_000
"""Metrics a request: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html"""
TURN = "cloudwatch"


@dataclass(frozen=True)
class Turn:
    """The times between which ended jobs are to be told, by MongoDB's clock."""

    since: datetime
    until: datetime


def publish() -> None:
    """Send this minute's metrics, unless another relay does, or nobody wants them. For the rounds of relays.

    Raises:
        DatabaseUnavailable: MongoDB is away.
        QueueError: CloudWatch does not answer, or refuses.
    """
    if settings().cloudwatch_metrics is None:
        return
    turn = _take_turn()
    if turn is None:
        return
    made = [*_metrics(turn)]
    for place in range(0, len(made), MOST_AT_ONCE):
        with translated("CloudWatch"):
            _client().put_metric_data(Namespace=METRICS_NAMESPACE, MetricData=made[place : place + MOST_AT_ONCE])


def _take_turn() -> Turn | None:
    """The turn, for one process a minute: who finds it due takes it in the same write."""
    token = uuid4().hex
    is_due = {"$lte": [{"$ifNull": ["$next_at", NOW]}, NOW]}
    taken = {"by": literal(token), "since": {"$ifNull": ["$until", NOW]}, "until": NOW, "next_at": later(EVERY_SECONDS)}
    pipeline: list[Document] = [{"$replaceWith": {"$cond": [is_due, {"$mergeObjects": ["$$ROOT", taken]}, "$$ROOT"]}}]
    with available():
        turn = (
            database()
            .collection("turns")
            .find_one_and_update({"_id": TURN}, pipeline, upsert=True, return_document=ReturnDocument.AFTER)
        )
    if turn is None or turn["by"] != token:
        return None
    return Turn(max(turn["since"], turn["until"] - LONGEST), turn["until"])


def _metrics(turn: Turn) -> Iterator[Any]:
    found = backlogs(KINDS)
    for kind in KINDS:
        backlog = found[kind]
        yield _metric("JobsStartable", kind, backlog.startable, "Count", turn)
        yield _metric("JobsProcessing", kind, backlog.processing, "Count", turn)
        yield _metric("OldestStartable", kind, backlog.oldest_startable_seconds or 0, "Seconds", turn)
        for name, status in (("JobsCompleted", Status.COMPLETED), ("JobsFailed", Status.FAILED)):
            yield _metric(name, kind, _count_ended(kind, status, turn), "Count", turn)


def _metric(name: str, kind: str, value: float, unit: str, turn: Turn) -> dict[str, Any]:
    """The dimension is the queue's name at SQS, as in SQS's own metrics: fleets with different prefixes stay apart."""
    queue = prefixed(KINDS[kind].queue_name())
    dimensions = [{"Name": "QueueName", "Value": queue}]
    return {"MetricName": name, "Dimensions": dimensions, "Value": value, "Unit": unit, "Timestamp": turn.until}


def _count_ended(kind: str, status: Status, turn: Turn) -> int:
    ended = {"kind": kind, "status": status.value, "finished_at": {"$gte": turn.since, "$lt": turn.until}}
    with available():
        return database().collection("jobs").count_documents(ended, hint="finished")


@cache
def _client() -> CloudWatchClient:
    client: CloudWatchClient = make_client("cloudwatch")
    return client
