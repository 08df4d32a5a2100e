"""`queues send-test`."""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import click

from cli.errors import Refused, said_plainly
from cli.kinds import KindName
from cli.output import json_option, print_json

if TYPE_CHECKING:
    from jobs.document import Job

LOOK_SECONDS = 0.2


@click.command("send-test")
@click.argument("kind", type=KindName(), default="articles")
@click.option(
    "--wait", type=click.FloatRange(min=0), default=30, show_default=True, metavar="SECONDS", help="For a worker to take it."
)
@click.option("--priority", type=click.Choice(["normal", "high"]), default="normal", show_default=True)
@click.option("--provider", help="The AI provider to ask; `local` costs nothing.  [default: as for every job]")
@click.option("--user", default="operator", show_default=True, help="Whose job it is.")
@json_option
@said_plainly
def send_test(kind: str, wait: float, priority: Any, provider: str | None, user: str, as_json: bool) -> None:
    """Submit a small job of KIND (articles, if left out) and follow it to its end, each state with its time.

    The job is as real as any other: it is asked of the AI provider, and stays in MongoDB. Ends with 1 if no worker takes it
    within --wait, or if it does not complete.
    """
    from jobs.draining import drains
    from jobs.life import Status
    from jobs.store import store
    from jobs.submit import Order, submit
    from providers.choice import PROVIDERS
    from tasks.kinds import payload_model

    if provider is not None and provider not in PROVIDERS:
        raise Refused(f"There is no provider {provider!r}; there are {', '.join(PROVIDERS)}.")
    drains().refuse_order(kind)
    payload = payload_model(kind).model_validate(payload_model(kind).trial).model_dump(mode="json", by_alias=True)
    began = monotonic()
    job = submit(Order(kind=kind, payload=payload, user_id=user, provider=provider, priority=priority))
    seen: list[dict[str, Any]] = []
    click.echo(
        f"{job.id}  {'sent' if job.message_id else 'accepted; SQS does not take it, so the relay will send it'}", err=as_json
    )
    while True:
        state = {"status": job.status.value, "stage": job.progress.stage, "percent": job.progress.percent}
        after = monotonic() - began
        if not seen or state.items() - seen[-1].items():
            seen.append(state | {"afterSeconds": round(after, 1)})
            click.echo(f"{after:6.1f} s  {job.status:<10}  {job.progress.percent:3} %  {job.progress.stage}", err=as_json)
        if job.status.is_final or (job.started_at is None and after > wait):
            break
        sleep(LOOK_SECONDS)
        job = store().get(job.id) or job
    if as_json:
        print_json({"jobId": job.id, "kind": kind, "status": job.status.value, "error": job.error, "states": seen})
    if not job.status.is_final:
        raise Refused(_why_untaken(job, wait))
    if job.status is not Status.COMPLETED:
        raise Refused(f"The job ended {job.status}: {job.error['message'] if job.error else 'no reason is recorded'}")


def _why_untaken(job: Job, wait: float) -> str:
    from jobs.overview import overview
    from queues.catalogue import kind_named

    seen = overview([kind_named(job.kind)])[0]
    if seen.depth.missing:
        why = f"the queue {seen.depth.missing[0]} does not exist; `celery -A tasks queues apply` makes it"
    elif seen.pause:
        why = f"the queue is paused: {seen.pause.reason}"
    elif job.waiting_for:
        why = f"it waits for {job.waiting_for['reason']}"
    elif not seen.workers:
        why = f"no worker runs for {job.kind}; `celery -A tasks worker -Q {job.kind}` starts one"
    else:
        why = f"the workers ({seen.workers}) are busy: {seen.backlog.processing} jobs run and {seen.backlog.startable} wait"
    return f"No worker took the job within {wait:g} s: {why}. The job stays and runs when one does."
