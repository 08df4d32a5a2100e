"""`queues pause` and `queues resume`."""

from __future__ import annotations

import click

from cli.errors import said_plainly
from cli.kinds import some_kinds
from cli.output import json_option, operator, print_json


@click.command()
@some_kinds
@click.option("--reason", required=True, help="Why, for whoever wonders.")
@json_option
@said_plainly
def pause(kinds: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Let the workers receive nothing more from these queues, within about two seconds.

    What runs goes on to its end. New jobs are accepted and wait. Lasts until `queues resume`.
    """
    from jobs.pauses import pauses

    for kind in kinds:
        pauses().pause(kind, reason, operator())
        if not as_json:
            click.echo(f"{kind} is paused: workers receive nothing more from it. New jobs wait.")
    if as_json:
        print_json({"paused": list(kinds), "reason": reason, "by": operator()})


@click.command()
@some_kinds
@json_option
@said_plainly
def resume(kinds: tuple[str, ...], as_json: bool) -> None:
    """Receive from these queues again, and take new jobs again: ends a pause by hand and a drain."""
    from jobs.draining import drains
    from jobs.pauses import pauses

    told = []
    for kind in kinds:
        was_paused = pauses().resume(kind, operator())
        was_drained = drains().end(kind, operator())
        still = pauses().known().get(kind)
        told.append({"kind": kind, "resumed": was_paused, "takesNewJobsAgain": was_drained, "paused": still and still.reason})
        if not as_json:
            ended = [
                text for was, text in ((was_paused, "received from again"), (was_drained, "open for new jobs again")) if was
            ]
            click.echo(f"{kind} is {' and '.join(ended)}." if ended else f"{kind} was neither paused nor drained.")
            if still:
                click.echo(f"{kind} stays paused for another reason, which ends by itself: {still.reason}", err=True)
    if as_json:
        print_json({"queues": told})
