"""`queues drain`."""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import click

from cli.errors import Refused, in_plain_words, said_plainly
from cli.kinds import one_kind
from cli.output import counted, json_option, operator, print_json

if TYPE_CHECKING:
    from jobs.overview import Overview

LOOK_SECONDS = 1.0


@click.command()
@one_kind
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up waiting after this time.  [default: never]"
)
@json_option
@said_plainly
def drain(kind: str, timeout: float | None, as_json: bool) -> None:
    """Take no new jobs of a kind, and wait until its open ones are over and its queues are empty.

    The API answers 503 for it from now on, until `queues resume`. Ends with 1 if that took longer than --timeout; new jobs are
    refused all the same.
    """
    from jobs.draining import drains

    drains().begin(kind, operator())
    stays = f"New jobs stay refused; `queues resume {kind}` ends that."
    try:
        seen = _wait(kind, timeout, as_json)
    except KeyboardInterrupt:
        raise Refused(f"Not waited for to the end. {stays}") from None
    if as_json:
        print_json(_as_json(kind, seen))
    if seen is None or not _is_empty(seen):
        raise Refused(f"{kind} is not empty after {timeout:g} s. {stays}")
    click.echo(f"{kind} is empty. New jobs are refused until `celery -A tasks queues resume {kind}`.", err=as_json)


def _wait(kind: str, timeout: float | None, as_json: bool) -> Overview | None:
    """How the kind is when it is empty, and certainly gets nothing more, or when the time is over. Says what changes."""
    from jobs.draining import REFUSED_EVERYWHERE_SECONDS

    began = monotonic()
    said = ""
    while True:
        seen, text = _look(kind)
        if text != said:
            said = text
            click.echo(text, err=as_json)
        waited = monotonic() - began
        if seen and _is_empty(seen):
            if waited >= REFUSED_EVERYWHERE_SECONDS:
                return seen
        elif timeout is not None and waited >= timeout:
            return seen
        sleep(LOOK_SECONDS)


def _look(kind: str) -> tuple[Overview | None, str]:
    """How the kind is, and that in words; None while nobody knows: a drain waits through that."""
    from jobs.overview import overview
    from queues.catalogue import kind_named

    try:
        seen = overview([kind_named(kind)])[0]
    except Exception as error:
        if (words := in_plain_words(error)) is None:
            raise
        return None, words
    return seen, _in_words(seen)


def _is_empty(seen: Overview) -> bool:
    return not seen.backlog.open and not seen.depth.total.total


def _in_words(seen: Overview) -> str:
    scheduled = f" ({seen.backlog.scheduled} of them for later)" if seen.backlog.scheduled else ""
    text = f"{seen.kind}: {counted(seen.backlog.open, 'open job')}{scheduled}, {counted(seen.depth.total.total, 'message')}"
    if seen.pause and seen.backlog.open:
        return f"{text}; nothing is received, because the queue is paused: {seen.pause.reason}"
    if not seen.workers and seen.backlog.open:
        return f"{text}; no worker runs for it"
    return text


def _as_json(kind: str, seen: Overview | None) -> dict[str, Any]:
    if seen is None:
        return {"kind": kind, "empty": None}
    return {"kind": kind, "empty": _is_empty(seen), "openJobs": seen.backlog.open, "messages": seen.depth.total.total}
