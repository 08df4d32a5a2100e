"""The options that say which dead letters are meant, and how far a command is with reading them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from cli.errors import Refused
from cli.kinds import KindName

if TYPE_CHECKING:
    from jobs.failures import Selection
    from jobs.redrive import Outcome

P = ParamSpec("P")
R = TypeVar("R")

UNITS = {"s": 1, "min": 60, "m": 60, "h": 3_600, "d": 86_400}


class Age(click.ParamType[timedelta]):
    """A time as people write it: `90s`, `15m`, `1h`, `2d`."""

    name = "AGE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        found = re.fullmatch(r"(\d{1,6}) ?(s|min|m|h|d)", str(value))
        if not found:
            raise Refused(f"{value!r} is no time; write 90s, 15m, 1h or 2d.")
        return timedelta(seconds=int(found[1]) * UNITS[found[2]])


def selecting(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options that pick dead letters; it gets them as `selection`."""

    @click.option("--kind", "kinds", type=KindName(), multiple=True, help="Only of this kind; may be given more than once.")
    @click.option("--error", "codes", metavar="CODE", multiple=True, help="Only with this error, as `list` names them.")
    @click.option("--older-than", type=Age(), help="Only what failed at least so long ago: 90s, 15m, 1h, 2d.")
    @click.option("--newer-than", type=Age(), help="Only what failed at most so long ago.")
    @click.option("--job", "job_id", metavar="ID", help="Only this job.")
    @wraps(command)
    def choose(
        *,
        kinds: tuple[str, ...],
        codes: tuple[str, ...],
        older_than: timedelta | None,
        newer_than: timedelta | None,
        job_id: str | None,
        **options: Any,
    ) -> R:
        return command(selection=_selection(kinds, codes, older_than, newer_than, job_id), **options)

    return choose


def _selection(
    kinds: tuple[str, ...],
    codes: tuple[str, ...],
    older_than: timedelta | None,
    newer_than: timedelta | None,
    job_id: str | None,
) -> Selection:
    from jobs.failures import Selection

    if older_than and newer_than and older_than > newer_than:
        raise Refused("Nothing is both older than --older-than and newer than --newer-than.")
    return Selection(
        kinds=tuple(dict.fromkeys(kinds)), codes=codes, older_than=older_than, newer_than=newer_than, job_id=job_id
    )


def tell_progress(kind: str, read: int) -> None:
    """Say how many letters are read, where they are many."""
    click.echo(f"{kind}: {read:,} dead letters read", err=True)


def tell_of_the_unseen(outcome: Outcome) -> None:
    """Say what could not be looked at.

    Raises:
        Refused: a dead-letter queue is missing.
    """
    if outcome.busy:
        click.echo(f"Somebody else looks at {outcome.busy:,} dead letters just now; they are not counted here.", err=True)
    if outcome.missing:
        missing = ", ".join(outcome.missing)
        raise Refused(f"These queues do not exist: {missing}. `celery -A tasks queues apply` makes them.")
