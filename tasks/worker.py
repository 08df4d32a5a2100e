"""What a worker process does at its start and its end, hung on Celery's signals."""

from __future__ import annotations

import socket
from typing import Any
from uuid import uuid4

from celery.signals import celeryd_init, setup_logging, worker_init, worker_shutdown, worker_shutting_down
from celery.utils.sysinfo import is_auto_concurrency

from monitoring.logs import configure_logging
from queues.catalogue import KINDS
from queues.deliveries import deliveries
from queues.settling import settler

FLUSH_SECONDS = 5
"""How long the end of a worker waits for its last deletes to reach SQS."""

setup_logging.connect(configure_logging, weak=False)


@celeryd_init.connect
def name_node(instance: Any, options: dict[str, Any], **_: Any) -> None:
    """Give the node a name of its own, so that several workers on a host are several nodes. `-n` overrides."""
    if options.get("hostname"):
        return
    queues = options.get("queues") or []
    what = queues[0] if len(queues) == 1 else "worker"
    instance.hostname = f"{what}-{uuid4().hex[:4]}@{socket.gethostname()}"


@worker_init.connect
def take_slots_from_catalogue(sender: Any, **_: Any) -> None:
    """As many slots as the catalogue gives the queues that this worker consumes. `-c` overrides."""
    if is_auto_concurrency(sender.concurrency):
        sender.concurrency = sum(KINDS[kind].slots for kind in sender.app.amqp.queues.consume_from)


@worker_shutting_down.connect
def stop_waiting(**_: Any) -> None:
    """End the consumer's wait for a delivery, so that the worker stops now and not in two seconds."""
    deliveries().wake()


@worker_shutdown.connect
def flush_settlements(**_: Any) -> None:
    settler().flush(FLUSH_SECONDS)
