"""Celery's settings, derived from the catalogue. What a user may set is in `settings.py`."""

from __future__ import annotations

from kombu import Queue

from queues.catalogue import KINDS

broker_url = "sqs://"
broker_transport = "queues.transport:Transport"
broker_connection_retry_on_startup = True

task_queues = [Queue(kind, routing_key=kind) for kind in KINDS]
task_routes = {kind: {"queue": kind} for kind in KINDS}
task_create_missing_queues = False
imports = [f"tasks.{kind}" for kind in KINDS]

# The job's document is the result; messages go after it is written.
task_ignore_result = True
task_acks_late = True

worker_pool = "tasks.pool:TaskPool"
worker_concurrency = "auto"  # the catalogue's slots, see tasks/worker.py
worker_prefetch_multiplier = 1
worker_disable_rate_limits = True
worker_hijack_root_logger = False
worker_redirect_stdouts = False

# Who watches sees every task without a flag; see monitoring/.
worker_send_task_events = True
