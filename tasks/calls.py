"""Calling a task is submitting a job: `generate_article.delay({…})`, `app.send_task`, `celery call`, Flower's "apply".

    generate_article.apply_async(({"topic": "Bees"},), {"userId": "ada"}, countdown=600, expires=3600)

The result's `id` is the job's; the job's document is the result. `task_id` makes a call one job, however often it is repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import click
from celery import Celery
from celery.result import AsyncResult

from jobs.database import DatabaseUnavailable
from jobs.document import Job
from jobs.draining import QueueDraining, drains
from jobs.submit import Order, Priority
from queues.catalogue import KINDS
from queues.envelope import NotACall, in_utc, payload_and_user
from queues.wire import JOB_ID, JOB_ID_FORM
from tasks.intake import OrderRefused, accepted_payload, submit_once

HIGH_FROM = 7
"""Celery's priorities are 0 to 9; these and above are the high lane's."""
NOTHING_ACCEPTED = "MongoDB can't be reached, so nothing was accepted. MONGODB_URI says where it is."
NOT_TAKEN = ("link", "link_error", "chain", "chord")


class SubmittingCelery(Celery):
    """A Celery application whose calls of tasks are submissions."""

    def send_task(
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncResult:
        """Submit a job of the kind `name`.

        Raises:
            OrderRefused: it can't be a job; the message says why.
            QueueDraining: the kind takes no new jobs just now.
            DatabaseUnavailable: nothing was accepted, as far as we know.
        """
        try:
            job = _submit(name, args or (), kwargs or {}, options)
        except (OrderRefused, QueueDraining, DatabaseUnavailable) as error:
            context = click.get_current_context(silent=True)
            if context is not None and context.info_name == "call":  # `celery call`: for a person, who wants no traceback
                is_away = isinstance(error, DatabaseUnavailable)
                raise click.ClickException(NOTHING_ACCEPTED if is_away else str(error)) from None
            raise
        return self.AsyncResult(job.id, task_name=name)


def _submit(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> Job:
    from tasks.kinds import payload_model  # its tasks are the application's, which is made of this module's class

    if name not in KINDS:
        raise OrderRefused(f"There is no task {name!r}; there are {', '.join(KINDS)}.")
    _refuse_what_jobs_have_not(name, options)
    drains().refuse_order(name)
    try:
        payload, user_id = payload_and_user(args, kwargs)
    except NotACall as error:
        raise OrderRefused(f"{error}.") from None
    model = payload_model(name)
    order = Order(
        kind=name,
        payload=accepted_payload(model, payload),
        user_id=user_id,
        job_id=options.get("task_id") or uuid4().hex,
        priority=_priority(options.get("priority")),
        run_at=_moment(options.get("countdown"), options.get("eta")),
        expires_at=_moment(None, options.get("expires")),
    )
    return submit_once(model, order)


def _refuse_what_jobs_have_not(name: str, options: Mapping[str, Any]) -> None:
    if asked := [option for option in NOT_TAKEN if options.get(option)]:
        raise OrderRefused(f"Jobs have no {', '.join(asked)}; call each task by itself.")
    for option in ("queue", "routing_key"):
        given = options.get(option) or name
        if getattr(given, "name", given) != name:
            raise OrderRefused(f"{option}={given!r}: jobs of {name} go to their own queue; leave it out.")
    task_id = options.get("task_id")
    if task_id and not JOB_ID.fullmatch(task_id):
        raise OrderRefused(f"task_id={task_id!r}: a job's id is {JOB_ID_FORM}.")


def _priority(given: object) -> Priority:
    return "high" if isinstance(given, int) and given >= HIGH_FROM else "normal"


def _moment(seconds: float | None, time: datetime | str | float | None) -> datetime | None:
    """A time given as one, as its text, or as seconds from now."""
    given = time if seconds is None else seconds
    if given is None:
        return None
    if isinstance(given, int | float):
        return datetime.now(UTC) + timedelta(seconds=given)
    return in_utc(datetime.fromisoformat(given) if isinstance(given, str) else given)
