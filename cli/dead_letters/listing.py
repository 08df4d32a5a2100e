"""`dead-letters list`, and how groups are shown."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from cli.dead_letters.choosing import selecting, tell_of_the_unseen, tell_progress
from cli.errors import said_plainly
from cli.output import console, json_option, print_json

if TYPE_CHECKING:
    from jobs.failures import Group, Selection
    from jobs.redrive import Deed, Outcome


@click.command("list")
@selecting
@json_option
@said_plainly
def list_letters(selection: Selection, as_json: bool) -> None:
    """Show failed jobs and dead letters, grouped by error, each with what to do about it.

    A job that failed and has no letter any more is shown as well, until it is dropped or started over.
    """
    from jobs.redrive import Round, look

    outcome = Round(selection, look, progress=tell_progress).run()
    if as_json:
        groups = [group_as_json(group) for _, group in outcome.by_deed()]
        print_json({"groups": groups, "busy": outcome.busy, "missing": outcome.missing})
    elif outcome.groups:
        print_groups(outcome, with_remedies=True)
    else:
        click.echo("No failed jobs and no dead letters." if selection.is_everything else "Nothing of that sort has failed.")
    tell_of_the_unseen(outcome)


def print_groups(outcome: Outcome, *, with_remedies: bool = False) -> None:
    """A table: of a list with remedies, of a redrive or drop with what becomes of each group."""
    from rich import box
    from rich.table import Table

    table = Table("kind", "error", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("jobs", "letters", "oldest", "newest"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("what happened, and what to do" if with_remedies else "what happened")
    if not with_remedies:
        table.add_column("it", no_wrap=True)
    for deed, group in outcome.by_deed():
        said = f"{group.message}\n→ {group.remedy}" if with_remedies else group.message
        table.add_row(*_cells(group), said, *([] if with_remedies else [deed.value]))
    console().print(table)


def _cells(group: Group) -> list[str]:
    counts = [f"{len(group.jobs):,}", f"{group.letters:,}"]
    return [group.kind, group.code, *counts, _time(group.oldest), _time(group.newest)]


def _time(time: datetime | None) -> str:
    return f"{time.astimezone():%d %b %H:%M}" if time else ""


def group_as_json(group: Group, deed: Deed | None = None) -> dict[str, Any]:
    return {
        "kind": group.kind,
        "error": group.code,
        "message": group.message,
        "jobs": len(group.jobs),
        "letters": group.letters,
        "oldest": group.oldest and group.oldest.isoformat(),
        "newest": group.newest and group.newest.isoformat(),
        **({"remedy": group.remedy} if deed is None else {"does": deed.value}),
    }
