"""What a worker process does at its start and its end, hung on Celery's signals."""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from celery.concurrency import get_implementation
from celery.signals import celeryd_init, setup_logging, worker_init, worker_ready, worker_shutdown, worker_shutting_down
from celery.utils.nodenames import default_nodename
from celery.utils.sysinfo import is_auto_concurrency

import providers.cancelling  # noqa: F401 - performs the cancels of generations
from jobs import counters
from jobs.pauses import pauses
from jobs.relay import start_in_background
from jobs.spending import wake_affordable
from monitoring.logs import configure_logging
from monitoring.outbox import outbox
from monitoring.tracing import flush_spans, start_tracing
from providers.outages import probe_due
from queues.catalogue import KINDS, kind_named
from queues.clients import QueueError, sqs
from queues.deliveries import deliveries
from queues.receiver import Receiver
from settings import SettingsError, settings
from tasks import liveness
from tasks.beat import beat
from tasks.leaving import let_go
from tasks.pool import TaskPool

HEARTBEAT_SECONDS = 5
"""Between two of Celery's heartbeat events, which say how often to expect them. Each costs a write to the monitor."""
LAST_EVENTS_SECONDS = 0.5
"""How long a worker that ends waits for its last events to be sent."""

Receiver.paused = staticmethod(lambda kind: pauses().is_paused(kind))


@setup_logging.connect
def log_as_all_do(**_: Any) -> None:
    """In place of Celery's own."""
    configure_logging(gathers=True)


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
    if instance.hostname != default_nodename(None):
        return
    queues = options.get("queues") or []
    what = queues[0] if len(queues) == 1 else "worker"
    instance.hostname = f"{what}-{uuid4().hex[:4]}@{socket.gethostname()}"


@worker_init.connect
def consume_queues(sender: Any, **_: Any) -> None:
    """From here on this process's connections are the queues'."""
    sender.app.is_worker = True


@worker_init.connect
def take_time_between_heartbeats(sender: Any, **_: Any) -> None:
    """Celery's own default is two seconds. `--heartbeat-interval` overrides."""
    sender.options["heartbeat_interval"] = sender.options.get("heartbeat_interval") or HEARTBEAT_SECONDS


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


@worker_ready.connect
def look_after_deliveries(sender: Any, **_: Any) -> None:
    """Beside its jobs a worker does the relay's rounds for its kinds, and says that it lives."""
    start_tracing("worker")
    gc.collect()
    gc.freeze()  # what was imported stays: no collection need look at it again
    kinds = sender.app.amqp.queues.consume_from  # add_consumer and cancel_consumer change it
    pauses().keep_known()
    beat().start()  # what waits for its claim is kept invisible too, be it the first
    liveness.start(sender.hostname, lambda: sender.pool.limit)
    _ending.append(start_in_background(kinds, also=[probe_due, wake_affordable], stands_back=True))
    _ending.append(liveness.stop)


@worker_shutdown.connect
def leave_at_once(sender: Any, **_: Any) -> None:
    """What is left are threads that nobody waits for; the interpreter need not tidy up around them."""
    for end in _ending:
        end()
    let_go()
    outbox(sender.app.conf.event_exchange, sender.app.conf.event_serializer).flush(LAST_EVENTS_SECONDS)
    counters.flush()
    flush_spans()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(sender.exitcode or 0)


_ending: list[Callable[[], None]] = []
"""What ends with the worker."""
