"""The Celery app of workers that fail on purpose: `tasks` with the faults that the environment orders. Not for production.

    PRESSROOM_FAULTS=kill:recorded celery -A devstack.faulty worker -Q articles

What can be ordered is in `devstack.faults`.
"""

from __future__ import annotations

import os

from devstack.faults import FaultError, order
from queues import steps

try:
    steps.listeners.append(order(os.environ.get("PRESSROOM_FAULTS", ""), os.environ.get("PRESSROOM_FAULTS_DIRECTORY", "")))
except FaultError as error:
    raise SystemExit(f"PRESSROOM_FAULTS: {error}") from None

from tasks import app  # after the order: a kind's task takes its limits from the catalogue when it is imported

__all__ = ["app"]
