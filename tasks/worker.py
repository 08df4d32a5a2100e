"""What a worker process does at its start and its end, hung on Celery's signals."""

from __future__ import annotations

import socket
from typing import Any
from uuid import uuid4

from celery.concurrency import get_implementation
from celery.signals import celeryd_init, setup_logging, worker_init, worker_shutdown, worker_shutting_down
from celery.utils.sysinfo import is_auto_concurrency

from monitoring.logs import configure_logging
from queues.catalogue import KINDS, kind_named
from queues.clients import QueueError, sqs
from queues.deliveries import deliveries
from queues.settling import settler
from settings import SettingsError, settings
from tasks.pool import TaskPool

FLUSH_SECONDS = 5
"""How long the end of a worker waits for its last deletes to reach SQS."""

setup_logging.connect(configure_logging, weak=False)


@celeryd_init.connect
def refuse_to_start_on_wrong_settings(options: dict[str, Any], **_: Any) -> None:
    """A wrong setting stops the process, not a customer's video."""
    try:
        settings()
        sqs()
        for queue in options.get("queues") or []:
            kind_named(queue)
    except (SettingsError, QueueError, KeyError) as error:
        raise SystemExit(f"The worker can't start.\n{error.args[0]}") from None


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
    """As many slots as the catalogue gives the queues that this worker consumes. `-c` overrides, `-P` is refused."""
    if not issubclass(get_implementation(sender.pool_cls), TaskPool):
        raise SystemExit(
            "The worker can't start.\nOnly Pressroom's own pool renews leases while jobs run. Leave out -P and --pool;"
            " slots are threads, and dozens fit in a process."
        )
    if is_auto_concurrency(sender.concurrency):
        sender.concurrency = sum(KINDS[kind].slots for kind in sender.app.amqp.queues.consume_from)


@worker_shutting_down.connect
def stop_waiting(**_: Any) -> None:
    """End the consumer's wait for a delivery, so that the worker stops now and not in two seconds."""
    deliveries().close()


@worker_shutdown.connect
def let_go_of_the_rest(**_: Any) -> None:
    """What was received and not begun goes to another worker; what was decided reaches SQS."""
    deliveries().release()
    settler().flush(FLUSH_SECONDS)
