"""`celery -A tasks capacity`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from cli.errors import Refused, said_plainly
from cli.kinds import KindName
from cli.output import json_option, print_json

if TYPE_CHECKING:
    from jobs.capacity import Plan

UNITS = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3_600, "hour": 3_600, "day": 86_400}
USD_A_MILLION = {False: 0.40, True: 0.50}
"""Of requests, to standard and to FIFO queues, in us-east-1: https://aws.amazon.com/sqs/pricing/"""


class Rate(click.ParamType[float]):
    """Jobs a second, written `1000/min`."""

    name = "rate"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"([0-9][0-9,_]*(?:\.[0-9]+)?)\s*/\s*([a-z]+)", value.strip().lower())
        if found is None or found[2] not in UNITS or not float(found[1].replace(",", "").replace("_", "")):
            self.fail(f"{value!r} is no rate: write 1000/min, 20/s, 5000/hour or 100000/day.", param, ctx)
        return float(found[1].replace(",", "").replace("_", "")) / UNITS[found[2]]


@click.command()
@click.option("--kind", "name", type=KindName(), required=True, help="What the jobs are.")
@click.option("--rate", "per_second", type=Rate(), required=True, help="How many come: 1000/min, 20/s, 5000/hour.")
@click.option(
    "--run-seconds", type=click.FloatRange(min=0.001), help="How long one runs. Default: what this installation's jobs took."
)
@click.option("--slots", type=click.IntRange(min=1), help="Slots of a worker process. Default: the catalogue's.")
@click.option(
    "--use", type=click.FloatRange(0.05, 0.99), default=0.7, show_default=True, help="The share of the time a slot may be busy."
)
@click.option(
    "--outage-minutes", type=click.FloatRange(min=0), default=10.0, show_default=True, help="An outage to make up for."
)
@json_option
@said_plainly
def capacity(
    name: str, per_second: float, run_seconds: float | None, slots: int | None, use: float, outage_minutes: float, as_json: bool
) -> None:
    """Say how many slots and workers a load needs, how long an outage is felt, and what SQS is asked for it."""
    from jobs.capacity import Load, Plan, measured_run_seconds
    from queues.catalogue import kind_named
    from settings import settings

    kind = kind_named(name)
    told = "as given"
    if run_seconds is None:
        measured = measured_run_seconds(kind)
        if measured is None:
            raise Refused(f"No job of {name} has run here yet: say with --run-seconds how long one takes.")
        run_seconds, told = measured[0], f"measured, {measured[1]:,} attempts"
    plan = Plan(
        load=Load(kind=kind, per_second=per_second, run_seconds=run_seconds),
        use=use,
        slots_each=slots or kind.slots,
        outage_seconds=outage_minutes * 60,
        lease_seconds=settings().lease_seconds,
        poll_seconds=settings().sqs_wait_time_seconds,
    )
    if as_json:
        print_json(_as_json(plan))
    else:
        for line in _lines(plan, told):
            click.echo(line)


def _as_json(plan: Plan) -> dict[str, object]:
    return {
        "kind": plan.load.kind.name,
        "perSecond": plan.load.per_second,
        "runSeconds": plan.load.run_seconds,
        "busySlots": plan.busy_slots,
        "slots": plan.slots,
        "workers": plan.workers,
        "meanWaitSeconds": plan.mean_wait_seconds,
        "backlog": plan.backlog,
        "drainSeconds": plan.drain_seconds,
        "requestsAJob": plan.requests_a_job,
        "requestsAMonth": round(plan.requests_a_month),
        "usdAMonth": round(_usd(plan), 2),
        "warnings": plan.warnings,
    }


def _lines(plan: Plan, told: str) -> list[str]:
    asked = plan.requests_a_job
    of_them = " + ".join(f"{n:.2g} {what}" for what, n in asked.items() if n >= 0.005)
    return [
        f"{plan.load.kind.name}: {_rate(plan.load.per_second)}, {plan.load.run_seconds:.3g} s each ({told})",
        f"  busy slots        {plan.busy_slots:,.1f} on average",
        f"  workers           {plan.workers:,} processes of {plan.slots_each} slots: busy {plan.busy_slots / plan.slots:.0%}",
        f"  wait for a slot   {_time(plan.mean_wait_seconds)} on average",
        f"  most they do      {_rate(plan.most_per_second)}",
        f"  after an outage   of {_time(plan.outage_seconds)}: {plan.backlog:,} jobs, gone after {_time(plan.drain_seconds)}",
        f"  SQS, a job        {sum(asked.values()):.2g} requests: {of_them}",
        f"  SQS, a month      {plan.requests_a_month / 1e6:,.1f} million requests at most, {_usd(plan):,.0f} USD",
        *(f"! {warning}" for warning in plan.warnings),
    ]


def _usd(plan: Plan) -> float:
    return plan.requests_a_month / 1e6 * USD_A_MILLION[plan.load.kind.fifo]


def _rate(per_second: float) -> str:
    return f"{per_second:,.3g} jobs/s" if per_second >= 1 else f"{per_second * 60:,.3g} jobs/min"


def _time(seconds: float) -> str:
    if seconds < 0.001:
        return "under a millisecond"
    if seconds < 120:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:,.3g} min" if seconds < 7_200 else f"{seconds / 3_600:,.3g} h"
