"""`queues status`."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext, suppress
from time import sleep
from typing import TYPE_CHECKING, Any

import click

from cli.errors import Refused, in_plain_words, said_plainly
from cli.kinds import any_kinds
from cli.output import console, json_option, lasting, print_json

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from jobs.overview import Overview
    from queues.queue import Depth

LOOK_SECONDS = 2.0
HEADINGS = (
    *("visible", "in\nflight", "delayed", "dead", "oldest"),
    *("received\na minute", "completed\na minute", "clears\nin", "workers"),
)
"""All of it fits into 80 columns."""
NOTHING = "–"


@click.command()
@any_kinds
@click.option("--watch", is_flag=True, help="Look again every two seconds, until Ctrl-C. With --json: a line for each look.")
@json_option
@said_plainly
def status(kinds: tuple[str, ...], watch: bool, as_json: bool) -> None:
    """Show how deep the queues are, and how fast they empty.

    Messages are SQS's counts, lanes summed, then apart. "oldest" is how long the oldest job that a worker could start now has
    waited, from MongoDB. Rates are over the last five minutes: messages received by the workers that run now, as they say at
    each beat; and jobs completed, from MongoDB. "clears in" is what can start, at that pace.
    """
    from rich.live import Live

    from jobs.overview import overview
    from queues.catalogue import KINDS

    wanted = [KINDS[name] for name in kinds or KINDS]
    if not watch:
        _once(overview(wanted), as_json)
        return
    with suppress(KeyboardInterrupt), Live(console=console(), auto_refresh=False) if not as_json else nullcontext() as live:
        while True:
            told = _told(lambda: overview(wanted), as_json=as_json)
            if live:
                live.update(told, refresh=True)
            else:
                click.echo(json.dumps(told, default=str))
            sleep(LOOK_SECONDS)


def _told(look: Callable[[], list[Overview]], *, as_json: bool) -> Any:
    """How the queues are, or why nobody knows just now: a watch goes on through that."""
    try:
        seen = look()
    except Exception as error:
        if (words := in_plain_words(error)) is None:
            raise
        return {"error": words} if as_json else words
    return _as_json(seen) if as_json else _screen(seen)


def _once(seen: list[Overview], as_json: bool) -> None:
    if as_json:
        print_json(_as_json(seen))
    else:
        console().print(_screen(seen))
    if missing := [name for each in seen for name in each.depth.missing]:
        raise Refused(f"These queues do not exist: {', '.join(missing)}. `celery -A tasks queues apply` makes them.")


def _screen(seen: list[Overview]) -> RenderableType:
    from rich.console import Group

    return Group(_table(seen), *(f"{each.kind} {note}" for each in seen for note in _notes(each)))


def _table(seen: list[Overview]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, collapse_padding=True)
    table.add_column("queue", no_wrap=True)
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for each in seen:
        backlog, depth = each.backlog, each.depth
        table.add_row(
            each.kind,
            *_counts(depth.total),
            NOTHING if depth.dead_letters is None else f"{depth.dead_letters.total:,}",
            NOTHING if backlog.oldest_startable_seconds is None else lasting(backlog.oldest_startable_seconds),
            f"{each.receives_per_minute:.1f}",
            f"{backlog.completed_per_minute:.1f}",
            NOTHING if backlog.clears_in_seconds is None else lasting(backlog.clears_in_seconds),
            str(each.workers),
        )
        if len(depth.lanes) > 1:
            for lane, of_lane in depth.lanes.items():
                table.add_row(f"  {lane}", *_counts(of_lane), style="dim")
    return table


def _counts(depth: Depth | None) -> list[str]:
    if depth is None:
        return ["missing", "", ""]
    return [f"{count:,}" for count in (depth.visible, depth.in_flight, depth.delayed)]


def _notes(each: Overview) -> list[str]:
    notes = []
    if each.pause:
        until = f"; next try {each.pause.next_try:%H:%M:%S}" if each.pause.next_try else ""
        notes.append(f"is paused by {each.pause.by} since {each.pause.since:%d %b %H:%M}: {each.pause.reason}{until}")
    if each.drain:
        notes.append(f"takes no new jobs: {each.drain.by} drains it since {each.drain.since:%d %b %H:%M}")
    if each.backlog.startable and not each.workers:
        notes.append(f"has jobs to start and no worker: `celery -A tasks worker -Q {each.kind}` starts one")
    return notes


def _as_json(seen: list[Overview]) -> dict[str, Any]:
    return {"queues": [_kind_as_json(each) for each in seen]}


def _kind_as_json(each: Overview) -> dict[str, Any]:
    backlog, depth, pause, drain = each.backlog, each.depth, each.pause, each.drain
    return {
        "kind": each.kind,
        **_depth_as_json(depth.total),
        "lanes": {lane: of_lane and _depth_as_json(of_lane) for lane, of_lane in depth.lanes.items()},
        "deadLetters": depth.dead_letters and depth.dead_letters.total,
        "missing": depth.missing,
        "openJobs": backlog.open,
        "processingJobs": backlog.processing,
        "scheduledJobs": backlog.scheduled,
        "startableJobs": backlog.startable,
        "oldestStartableSeconds": backlog.oldest_startable_seconds,
        "receivedPerMinute": each.receives_per_minute,
        "completedPerMinute": backlog.completed_per_minute,
        "clearsInSeconds": backlog.clears_in_seconds,
        "workers": each.workers,
        "paused": pause
        and {
            "reason": pause.reason,
            "by": pause.by,
            "since": pause.since.isoformat(),
            "nextTry": pause.next_try and pause.next_try.isoformat(),
        },
        "draining": drain and {"by": drain.by, "since": drain.since.isoformat()},
    }


def _depth_as_json(depth: Depth) -> dict[str, int]:
    return {"visible": depth.visible, "inFlight": depth.in_flight, "delayed": depth.delayed}
