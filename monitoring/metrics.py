"""What Prometheus reads. Every number is MongoDB's or SQS's at the scrape, so any web process answers for the whole fleet.

A metric is a function of `READERS` that reads its numbers and answers them under a name of `monitoring.glossary`. Where each
comes from: what is there now (jobs, queues, workers, outages) is read from where it is; what has happened is counted by whoever
does it (`jobs.counters`), because documents that tell of it are deleted in time, and a counter must not fall.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from jobs.backlog import backlogs
from jobs.census import census
from jobs.counters import Counted, counted
from jobs.database import DatabaseUnavailable, PyMongoError, available, database
from jobs.expressions import NOW
from jobs.outages import outages
from jobs.pauses import pauses
from jobs.workers import workers
from monitoring.glossary import METRICS, PREFIX
from monitoring.queue_depths import queue_depths
from providers.choice import PROVIDERS
from queues.catalogue import KINDS

log = structlog.get_logger()


def jobs() -> Iterator[Metric]:
    metric = _gauge("jobs")
    for (kind, status), n in sorted(census()().items()):
        metric.add_metric([kind, status.value], n)
    yield metric


def waiting_jobs() -> Iterator[Metric]:
    oldest, paused = _gauge("queue_oldest_startable_seconds"), _gauge("queue_paused")
    found, known = backlogs(KINDS), pauses().known()
    for kind in KINDS:
        oldest.add_metric([kind], found[kind].oldest_startable_seconds or 0)
        paused.add_metric([kind], kind in known)
    yield oldest
    yield paused


def messages() -> Iterator[Metric]:
    """What SQS shows. Where it does not answer, its metrics are left out rather than told wrong."""
    found = queue_depths()()
    yield _single("sqs_up", found is not None)
    if found is None:
        return
    depth, in_flight, letters = _gauge("queue_depth"), _gauge("queue_in_flight"), _gauge("dead_letters")
    for kind, of_kind in found.items():
        for lane, shown in of_kind.lanes.items():
            if shown is not None:
                depth.add_metric([kind, lane], shown.visible)
                in_flight.add_metric([kind, lane], shown.in_flight)
        if of_kind.dead_letters is not None:
            letters.add_metric([kind], of_kind.dead_letters.total)
    yield from (depth, in_flight, letters)


def providers() -> Iterator[Metric]:
    metric = _gauge("provider_open")
    down = outages().known()
    for name in sorted({*PROVIDERS, *down}):
        metric.add_metric([name], name in down)
    yield metric


def running_workers() -> Iterator[Metric]:
    up, receive, free = _gauge("worker_up_seconds"), _gauge("worker_last_receive_seconds"), _gauge("worker_free_slots")
    for worker in workers():
        up.add_metric([worker.name], (worker.read_at - worker.started_at).total_seconds())
        free.add_metric([worker.name], max(0, worker.slots - worker.running))
        for kind, at in worker.last_receive.items():
            receive.add_metric([worker.name, kind], (worker.read_at - at).total_seconds())
    yield from (up, receive, free)


def relays() -> Iterator[Metric]:
    metric = _gauge("relay_last_run_seconds")
    newest: list[dict[str, Any]] = [{"$sort": {"at": -1}}, {"$limit": 1}, {"$project": {"ago": {"$subtract": [NOW, "$at"]}}}]
    with available():
        for relay in database().collection("relays").aggregate(newest):
            metric.add_metric([], relay["ago"] / 1000)
    yield metric


def counters() -> Iterator[Metric]:
    """Everything that `jobs.counters` counts, and nothing yet where nothing has happened: a rate needs its beginning."""
    by_name: dict[str, list[Counted]] = defaultdict(list)
    for each in counted():
        by_name[each.name].append(each)
    for name, meaning in METRICS.items():
        if meaning.type == "counter":
            yield _counter(name, by_name[name.removesuffix("_total")])
        elif meaning.type == "histogram":
            yield _histogram(name, by_name[name])


def _counter(name: str, found: list[Counted]) -> Metric:
    meaning = METRICS[name]
    metric = CounterMetricFamily(PREFIX + name.removesuffix("_total"), meaning.words, labels=meaning.labels)
    values = dict.fromkeys(_known_labels(name), 0.0) | {_values(name, each): each.n for each in found}
    for labels, n in sorted(values.items()):
        metric.add_metric(labels, n)
    return metric


def _histogram(name: str, found: list[Counted]) -> Metric:
    meaning = METRICS[name]
    metric = HistogramMetricFamily(PREFIX + name, meaning.words, labels=meaning.labels)
    for each in found:
        metric.add_metric(_values(name, each), each.buckets, each.sum)
    return metric


def _values(name: str, found: Counted) -> tuple[str, ...]:
    return tuple(found.labels.get(label, "") for label in METRICS[name].labels)


def _known_labels(name: str) -> list[tuple[str, ...]]:
    """The labels' values that are known before anything has happened."""
    match METRICS[name].labels:
        case ():
            return [()]
        case ("kind",):
            return [(kind,) for kind in KINDS]
        case ("queue", "lane"):
            return [(kind.name, lane) for kind in KINDS.values() for lane in kind.lanes]
    return []


READERS: tuple[Callable[[], Iterable[Metric]], ...] = (
    jobs,
    waiting_jobs,
    messages,
    providers,
    running_workers,
    relays,
    counters,
)


class Fleet(Collector):
    """All of it; of what MongoDB does not answer, nothing is said but `pressroom_up 0`."""

    def collect(self) -> Iterator[Metric]:
        try:
            found = [metric for read in READERS for metric in read()]
        except (DatabaseUnavailable, PyMongoError) as error:
            log.warning("nothing to measure; MongoDB does not answer", reason=str(error))
            yield _single("up", False)
        else:
            yield _single("up", True)
            yield from found


def exposition(accept: str) -> tuple[bytes, str]:
    """The metrics in the text format that the `Accept` header asks for, and its content type."""
    encode, content_type = choose_encoder(accept)
    return encode(Fleet()), content_type


def _single(name: str, value: bool) -> Metric:
    metric = _gauge(name)
    metric.add_metric([], value)
    return metric


def _gauge(name: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, METRICS[name].words, labels=METRICS[name].labels)
