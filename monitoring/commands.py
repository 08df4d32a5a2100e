"""Remote commands that mean something else here than in a stock Celery worker. The others are Celery's own."""

from __future__ import annotations

import os
from typing import Any

from celery.signals import worker_shutting_down
from celery.worker import control, state
from celery.worker.control import control_command
from kombu.utils.functional import maybe_list

from monitoring.cancelling import cancel
from queues.catalogue import kind_named

Answer = dict[str, str]
add_stock_consumer = control.add_consumer


@control_command(variadic="task_id", signature="[id1 [id2 [... [idN]]]]")
def revoke(state: Any, task_id: Any, **_: Any) -> Answer:
    """Cancel jobs: their documents, and what their providers may be making.

    Celery's own set of revoked tasks stays empty; it would silently discard the same job when it is retried later.
    """
    return cancel(maybe_list(task_id) or [])


@control_command(variadic="task_id", args=[("signal", str)], signature="<signal> [id1 [id2 [... [idN]]]]")
def terminate(state: Any, signal: str, task_id: Any, **_: Any) -> Answer:
    """The same as revoke: a job that runs stops within seconds, and its process goes on."""
    return cancel(maybe_list(task_id) or [])


@control_command(variadic="headers", signature="[key1=value1 [key2=value2 [... [keyN=valueN]]]]")
def revoke_by_stamped_headers(state: Any, headers: Any, **_: Any) -> Answer:
    """Not here: jobs have no stamps."""
    return {"error": "jobs have no stamped headers; revoke them by their ids"}


@control_command(args=[("task_name", str), ("rate_limit", str)], signature="<task_name> <rate_limit>")
def rate_limit(state: Any, **_: Any) -> Answer:
    """Not here: AI_RATE_LIMIT limits how often providers are asked, by the whole fleet."""
    return {"error": "workers have no rate limits of their own; AI_RATE_LIMIT holds for the whole fleet"}


@control_command(args=[("task_name", str), ("soft", float), ("hard", float)], signature="<task_name> <soft_secs> [hard_secs]")
def time_limit(state: Any, **_: Any) -> Answer:
    """Not here: max_seconds of the catalogue says how long a kind may run."""
    return {"error": "max_seconds in queues/catalogue.py says how long a job of a kind may run"}


@control_command(args=[("queue", str)], signature="<queue>")
def add_consumer(state: Any, queue: str, **_: Any) -> Answer:
    """Receive this kind too."""
    try:
        kind_named(queue)
    except KeyError as error:
        return {"error": str(error.args[0])}
    answer: Answer = add_stock_consumer(state, queue)
    return answer


@control_command()
def shutdown(state: Any, msg: str = "Got shutdown from remote", **_: Any) -> Answer:
    """End the workers in order, as SIGTERM does."""
    end_in_order()
    return {"ok": "the worker ends"}


def end_in_order() -> None:
    """What Celery does at SIGTERM, from any thread."""
    worker_shutting_down.send(sender=None, sig="SIGTERM", how="Warm", exitcode=os.EX_OK)
    state.should_stop = os.EX_OK
