"""What a command prints: text for people, or JSON alone on stdout. Everything else goes to stderr."""

from __future__ import annotations

import getpass
import json
import socket
import sys
from typing import TYPE_CHECKING, Any

import click

from cli.errors import Refused

if TYPE_CHECKING:
    from rich.console import Console

UNWATCHED_WIDTH = 160
"""Columns where no terminal says how wide it is."""

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
yes_option = click.option("--yes", is_flag=True, help="Don't ask.")


def print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, default=str))


def console() -> Console:
    """Prints tables. What somebody wrote into them is text, brackets and all."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else UNWATCHED_WIDTH, highlight=False, markup=False)


def confirm(question: str, *, yes: bool) -> None:
    """Go on only if somebody agrees, or `--yes` did.

    Raises:
        Refused: there is nobody to ask, or the answer was no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"{question} There is nobody here to ask: add --yes to do it.")
    if not click.confirm(question, err=True):
        raise Refused("Nothing was done.")


def operator() -> str:
    """Who gives the command, as it is recorded."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        name = "somebody"
    return f"{name}@{socket.gethostname()}"


def counted(n: int, thing: str, things: str | None = None) -> str:
    """`1 job`, `3 jobs`."""
    return f"{n:,} {thing if n == 1 else things or thing + 's'}"


def lasting(seconds: float) -> str:
    """A time in the unit that fits: `12 s`, `3 min`, `2.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6_000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 360_000 else f"{seconds / 86_400:.0f} d"
