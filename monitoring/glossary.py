"""Every metric: its name without `pressroom_`, what it is, and its labels. Alerts and dashboards may use these and no others.

Labels: `kind` is a kind of job, `queue` the queue of a kind (the same word), `lane` one of a queue's lanes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PREFIX = "pressroom_"


@dataclass(frozen=True)
class Meaning:
    """What a metric is. The names of counters end in `_total`."""

    type: Literal["gauge", "counter", "histogram"]
    words: str
    labels: tuple[str, ...] = ()


METRICS: Mapping[str, Meaning] = {
    "up": Meaning("gauge", "Whether MongoDB answered for these metrics."),
    "sqs_up": Meaning("gauge", "Whether SQS answered for the depths of the queues."),
    # read from the queues and the jobs at the scrape
    "queue_depth": Meaning("gauge", "Messages that wait to be received.", ("queue", "lane")),
    "queue_in_flight": Meaning("gauge", "Messages received and not deleted yet.", ("queue", "lane")),
    "queue_oldest_startable_seconds": Meaning("gauge", "For how long the oldest job could have started.", ("queue",)),
    "queue_paused": Meaning("gauge", "Whether nothing is received from a queue, by hand or for an outage.", ("queue",)),
    "dead_letters": Meaning("gauge", "Messages in the dead-letter queue.", ("queue",)),
    "jobs": Meaning("gauge", "Jobs by kind and status.", ("kind", "status")),
    "provider_open": Meaning("gauge", "Whether a provider's breaker is open: it is down, and its jobs wait.", ("provider",)),
    "worker_up_seconds": Meaning("gauge", "How long a worker has been running.", ("worker",)),
    "worker_last_receive_seconds": Meaning("gauge", "Since SQS last answered a worker's receive.", ("worker", "queue")),
    "worker_free_slots": Meaning("gauge", "How many more jobs a worker could run.", ("worker",)),
    "relay_last_run_seconds": Meaning("gauge", "Since any relay last went its round."),
    # counted by whoever does it
    "jobs_created_total": Meaning("counter", "Jobs accepted.", ("kind",)),
    "jobs_started_total": Meaning("counter", "Jobs started; a retry by hand starts a job again.", ("kind",)),
    "jobs_completed_total": Meaning("counter", "Jobs completed.", ("kind",)),
    "jobs_failed_total": Meaning("counter", "Jobs failed for good.", ("kind",)),
    "messages_sent_total": Meaning("counter", "Messages that our processes sent to a queue.", ("queue", "lane")),
    "messages_received_total": Meaning("counter", "Messages that they received, each time it came.", ("queue", "lane")),
    "messages_deleted_total": Meaning("counter", "Messages that they deleted.", ("queue", "lane")),
    "attempts_total": Meaning("counter", "Attempts begun.", ("kind",)),
    "handbacks_total": Meaning("counter", "Jobs handed back by workers that were told to stop.", ("kind",)),
    "leases_lost_total": Meaning("counter", "Attempts that found their lease gone, and counted no more.", ("kind",)),
    "crashes_total": Meaning("counter", "Workers that died with a job.", ("kind",)),
    "generations_total": Meaning("counter", "What providers generated.", ("kind", "provider")),
    "generations_repeated_total": Meaning("counter", "Generations that may have been paid for twice.", ("kind",)),
    "provider_requests_total": Meaning(
        "counter", "Orders given to a provider, by how they ended: ok, or an error's code.", ("provider", "outcome")
    ),
    "provider_tokens_total": Meaning("counter", "Tokens that a provider read or wrote.", ("provider", "direction")),
    "provider_cost_total": Meaning("counter", "What generations cost, by the prices of `PRICES`.", ("provider", "kind")),
    "monitor_dropped_total": Meaning("counter", "Events that the monitor had no room for."),
    "job_wait_seconds": Meaning("histogram", "From when a job could start to its start.", ("kind",)),
    "job_run_seconds": Meaning("histogram", "How long attempts ran that came to an end of their own.", ("kind",)),
}


def series() -> frozenset[str]:
    """Every name that a query may ask for."""
    names = {PREFIX + name for name in METRICS}
    parts = {name + part for name in names for part in ("_bucket", "_sum", "_count") if _is_histogram(name)}
    return frozenset(names | parts)


def _is_histogram(name: str) -> bool:
    return METRICS[name.removeprefix(PREFIX)].type == "histogram"
