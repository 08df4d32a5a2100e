"""What Prometheus reads. Every number is MongoDB's at the time of the scrape, so any web process answers for the whole fleet.

A metric is a function of `METRICS` that reads its numbers and answers them under its name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from jobs.census import census
from jobs.database import DatabaseUnavailable, PyMongoError, available, database
from jobs.expressions import NOW
from jobs.life import Status
from jobs.workers import workers
from queues.catalogue import KINDS

log = structlog.get_logger()

PREFIX = "pressroom_"


def jobs() -> Iterator[Metric]:
    counted = census()
    metric = _gauge("jobs", "Jobs by kind and status.", "kind", "status")
    for kind in sorted({*KINDS, *(kind for kind, _ in counted)}):
        for status in Status:
            metric.add_metric([kind, status.value], counted.get((kind, status), 0))
    yield metric


def running_workers() -> Iterator[Metric]:
    up = _gauge("worker_up_seconds", "How long a worker has been running.", "worker")
    receive = _gauge("worker_last_receive_seconds", "Since SQS last answered a worker's receive.", "worker", "queue")
    for worker in workers():
        up.add_metric([worker.name], (worker.read_at - worker.started_at).total_seconds())
        for kind, at in worker.last_receive.items():
            receive.add_metric([worker.name, kind], (worker.read_at - at).total_seconds())
    yield up
    yield receive


def relays() -> Iterator[Metric]:
    metric = _gauge("relay_last_run_seconds", "Since any relay last went its round.")
    newest: list[dict[str, Any]] = [{"$sort": {"at": -1}}, {"$limit": 1}, {"$project": {"ago": {"$subtract": [NOW, "$at"]}}}]
    with available():
        for relay in database().collection("relays").aggregate(newest):
            metric.add_metric([], relay["ago"] / 1000)
    yield metric


def counters() -> Iterator[Metric]:
    """Everything that `jobs.counters` counts."""
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with available():
        for document in database().collection("counters").find():
            by_name[document["_id"]["name"]].append(document)
    for name, documents in sorted(by_name.items()):
        labels = sorted({label for document in documents for label in document["_id"]} - {"name"})
        metric = CounterMetricFamily(PREFIX + name, f"{name.replace('_', ' ').capitalize()}.", labels=labels)
        for document in documents:
            metric.add_metric([document["_id"].get(label, "") for label in labels], document["n"])
        yield metric


METRICS: tuple[Callable[[], Iterable[Metric]], ...] = (jobs, running_workers, relays, counters)


class Fleet(Collector):
    """All of it; of what MongoDB does not answer, nothing is said but `pressroom_up 0`."""

    def collect(self) -> Iterator[Metric]:
        try:
            found = [metric for read in METRICS for metric in read()]
        except (DatabaseUnavailable, PyMongoError) as error:
            log.warning("nothing to measure; MongoDB does not answer", reason=str(error))
            yield _up(0)
        else:
            yield _up(1)
            yield from found


def exposition(accept: str) -> tuple[bytes, str]:
    """The metrics in the text format that the `Accept` header asks for, and its content type."""
    encode, content_type = choose_encoder(accept)
    return encode(Fleet()), content_type


def _up(value: int) -> Metric:
    metric = _gauge("up", "Whether MongoDB answered for these metrics.")
    metric.add_metric([], value)
    return metric


def _gauge(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, words, labels=labels)
