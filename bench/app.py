"""Pressroom with one kind more, `tiny`, as a kind is added: an entry in the catalogue, a module of `tasks`. Else as shipped.

    celery -A bench.app worker -Q tiny

Importing it adds the kind to this process, so that jobs of it can be submitted.
"""

from __future__ import annotations

import os
from pathlib import Path

from queues.catalogue import KINDS, Kind

KINDS["tiny"] = Kind(
    name="tiny",
    purpose="a job without a call to an AI provider, to be measured",
    visibility_seconds=900,
    retention_seconds=86_400,
    max_receives=5,
    max_attempts=3,
    max_seconds=600,
    slots=8,
)

import tasks  # noqa: E402 - its settings are derived from the catalogue

tasks.__path__.append(str(Path(__file__).parent / "kinds"))

app = tasks.app
if os.environ.get("BENCH_MONITORING") == "off":  # to see what monitoring costs
    from monitoring.remote_control import RemoteControl

    app.conf.worker_send_task_events = False
    app.steps["consumer"].discard(RemoteControl)

__all__ = ["app"]
