"""What a verification says: a table that grows with each scenario, and the ledger; or JSON alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.text import Text

from cli.verifying.ledger import Ledger
from cli.verifying.play import Outcome

WIDTHS = {"scenario": 32, "jobs": 5, "done to them": 32, "outcome": 44, "seconds": 7}
FLUSH_RIGHT = {"jobs", "seconds"}


class Table:
    """Plain lines; on a terminal with colours, and with a word about what is going on at its foot."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._status = self._console.status("")

    def __enter__(self) -> Table:
        self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._status.stop()

    def say(self, what: str) -> None:
        """What is going on."""
        self._status.update(what)
        if not self._console.is_terminal:
            self._console.print(what)

    def head(self) -> None:
        self._console.print(Text(_line(dict.fromkeys(WIDTHS, "") | {name: name for name in WIDTHS}), style="bold"))

    def row(self, outcome: Outcome) -> None:
        cells = {
            "scenario": outcome.name,
            "jobs": str(outcome.jobs),
            "done to them": outcome.did,
            "outcome": f"{'✗' if outcome.fault else '✓'} {outcome.statuses}",
            "seconds": f"{outcome.seconds:.1f}",
        }
        self._console.print(Text(_line(cells), style="red" if outcome.fault else ""))
        if outcome.fault:
            self._console.print(Text(f"    {outcome.fault}", style="red"))

    def end(self, ledger: Ledger, told: Sequence[str]) -> None:
        """The faults with the stories of their jobs, and as the last line the ledger."""
        for line in (*ledger.faults, *told):
            self._console.print(Text(f"    {line}", style="red"))
        self._console.print(Text(str(ledger), style="bold green" if ledger.balances else "bold red"))


class Json:
    """The same for machines: one JSON document at the end."""

    def __init__(self) -> None:
        self._outcomes: list[Outcome] = []

    def __enter__(self) -> Json:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """There is nothing to put away."""

    def say(self, what: str) -> None:
        """Nothing but the document goes to a machine."""

    def head(self) -> None:
        """A document has none."""

    def row(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)

    def end(self, ledger: Ledger, told: Sequence[str]) -> None:
        scenarios = [_without_empty(asdict(outcome)) for outcome in self._outcomes]
        print(json.dumps({"scenarios": scenarios, "ledger": ledger.as_json(), "stories": list(told)}, indent=2))


def _line(cells: dict[str, str]) -> str:
    aligned = (cells[name].rjust(width) if name in FLUSH_RIGHT else cells[name].ljust(width) for name, width in WIDTHS.items())
    return "  ".join(aligned).rstrip()


def _without_empty(outcome: dict[str, Any]) -> dict[str, Any]:
    renamed = {"jobsAtFault" if name == "jobs_at_fault" else name: value for name, value in outcome.items()}
    return {name: value for name, value in renamed.items() if value not in (None, ())}
