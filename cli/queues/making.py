"""`queues plan` and `queues apply`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.errors import Refused, said_plainly
from cli.kinds import any_kinds
from cli.output import counted, json_option, print_json

if TYPE_CHECKING:
    from queues.catalogue import Kind
    from queues.plan import QueuePlan

CHANGES = 2
"""The exit status of `plan --exit-code` where there is something to do."""
MARKS = {"create": "+", "change": "~"}


@click.command()
@any_kinds
@click.option("--exit-code", "tells", is_flag=True, help="End with 0 if there is nothing to do, with 2 if there is.")
@json_option
@said_plainly
def plan(kinds: tuple[str, ...], tells: bool, as_json: bool) -> None:
    """Show what `apply` would make and change, attribute by attribute. Changes nothing."""
    from queues.plan import plan as make_plan

    planned = make_plan(_entries(kinds))
    to_do = [each for each in planned if each.does != "nothing"]
    at_fault = [each for each in planned if each.impossible]
    if as_json:
        print_json({"queues": [_as_json(each) for each in planned], "changes": len(to_do)})
    else:
        for each in planned:
            _print(each)
        right = len(planned) - len({each.name for each in [*to_do, *at_fault]})
        made = sum(each.does == "create" for each in to_do)
        click.echo(f"{made} to create, {len(to_do) - made} to change, {right} as they should be.")
        if to_do:
            click.echo("`celery -A tasks queues apply` does it.")
    if at_fault:
        raise Refused("; ".join(f"{each.name}: {fault}" for each in at_fault for fault in each.impossible))
    if tells and to_do:
        raise SystemExit(CHANGES)


@click.command()
@any_kinds
@json_option
@said_plainly
def apply(kinds: tuple[str, ...], as_json: bool) -> None:
    """Make the queues that are missing and change those that differ; print their URLs.

    Doing it again changes nothing. Dead-letter queues come first.
    """
    from queues.provision import carry_out

    done = []
    for applied in carry_out(_entries(kinds)):
        done.append(applied)
        if not as_json:
            click.echo(str(applied))
    if as_json:
        print_json({"queues": [{"url": each.url} | _as_json(each.plan) for each in done]})
    at_fault = [each.plan for each in done if each.plan.impossible]
    if at_fault:
        raise Refused(f"{counted(len(at_fault), 'queue')} can't be put right: {', '.join(each.name for each in at_fault)}.")


def _entries(names: tuple[str, ...]) -> list[Kind]:
    from queues.catalogue import KINDS

    return [KINDS[name] for name in names or KINDS]


def _print(each: QueuePlan) -> None:
    if each.does != "nothing":
        click.echo(f"{MARKS[each.does]} {each.name}  {each.does}")
    width = max((len(change.attribute) for change in each.changes), default=0)
    for change in each.changes:
        before = "" if each.does == "create" else f"{change.now or '–'} -> "
        click.echo(f"    {change.attribute:{width}}  {before}{change.wanted}")


def _as_json(each: QueuePlan) -> dict[str, Any]:
    changes = [{"attribute": change.attribute, "now": change.now, "wanted": change.wanted} for change in each.changes]
    about = {"name": each.name, "kind": each.kind, "lane": each.lane, "does": each.does}
    return {**about, "changes": changes, "impossible": each.impossible}
