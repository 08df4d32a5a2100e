"""`celery -A tasks alarms`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.errors import Refused, said_plainly
from cli.output import json_option, print_json

if TYPE_CHECKING:
    from queues.alarms import Change

TOPIC = click.option("--sns-topic", metavar="ARN", help="Who is told when an alarm begins and ends. Default: as it is now.")


@click.group()
def alarms() -> None:
    """CloudWatch's alarms on the queues: dead letters, too many messages, too old ones."""


@alarms.command("plan")
@TOPIC
@json_option
@click.option("--exit-code", is_flag=True, help="End with 2 if something would change.")
@said_plainly
def plan_alarms(sns_topic: str | None, as_json: bool, exit_code: bool) -> None:
    """Show what `apply` would do."""
    changes = _plan(sns_topic)
    _tell(changes, as_json, done=False)
    raise SystemExit(2 if exit_code and any(change.is_needed for change in changes) else 0)


@alarms.command("apply")
@TOPIC
@json_option
@said_plainly
def apply_alarms(sns_topic: str | None, as_json: bool) -> None:
    """Make the alarms that are missing, and change those that differ. Doing it again changes nothing."""
    from queues.alarms import apply
    from queues.clients import QueueUnavailable

    changes = _plan(sns_topic)
    try:
        apply(changes)
    except QueueUnavailable as error:  # it is CloudWatch that does not answer
        raise Refused(str(error)) from None
    _tell(changes, as_json, done=True)


def _plan(topic: str | None) -> list[Change]:
    from queues.alarms import plan
    from queues.clients import QueueUnavailable
    from settings import settings

    try:
        return plan(settings().queue_prefix, topic)
    except QueueUnavailable as error:
        raise Refused(str(error)) from None


def _tell(changes: list[Change], as_json: bool, *, done: bool) -> None:
    if as_json:
        print_json({"applied": done, "alarms": [_as_json(change) for change in changes]})
        return
    for change in changes:
        if change.is_new:
            click.echo(f"{'created' if done else 'create '}  {change.alarm.name}")
        elif change.differences:
            click.echo(f"{'changed' if done else 'change '}  {change.alarm.name}")
        for name, now, wanted in change.differences:
            click.echo(f"         {name}: {now} -> {wanted}")
    if not any(change.is_needed for change in changes):
        click.echo(f"All {len(changes)} alarms are as they should be.")


def _as_json(change: Change) -> dict[str, object]:
    return {
        "name": change.alarm.name,
        "does": "create" if change.is_new else "change" if change.differences else "nothing",
        "changes": [{"setting": name, "now": now, "wanted": wanted} for name, now, wanted in change.differences],
    }
