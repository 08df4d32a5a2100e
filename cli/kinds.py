"""KIND on the command line: a name of the catalogue."""

from __future__ import annotations

from typing import Any

import click

from cli.errors import Refused


class KindName(click.ParamType[str]):
    """Refuses, in one line, what the catalogue has not."""

    name = "KIND"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from queues.catalogue import KINDS

        if value not in KINDS:
            raise Refused(f"There is no kind {value!r}; there are {', '.join(KINDS)}.")
        return str(value)


one_kind = click.argument("kind", type=KindName())
some_kinds = click.argument("kinds", metavar="KIND...", type=KindName(), nargs=-1, required=True)
any_kinds = click.argument("kinds", metavar="[KIND]...", type=KindName(), nargs=-1)
"""None given: all of them."""
