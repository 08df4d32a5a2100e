"""The table: one row for each figure, `met` or `missed`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, kw_only=True)
class Row:
    """A figure as measured. `beside` is what it is compared with, measured in the same run."""

    figure: str
    measured: str
    beside: str = ""
    target: str
    is_met: bool

    @property
    def verdict(self) -> str:
        return "met" if self.is_met else "missed"


def at_least(figure: str, value: float, target: float, *, measured: str, beside: str = "", unit: str = "×") -> Row:
    return Row(figure=figure, measured=measured, beside=beside, target=f"≥ {target:g} {unit}", is_met=value >= target)


def at_most(figure: str, value: float, target: float, *, measured: str, beside: str = "", unit: str = "") -> Row:
    return Row(figure=figure, measured=measured, beside=beside, target=f"≤ {target:g} {unit}".strip(), is_met=value <= target)


def of_rounds(values: Sequence[float], digits: int = 2) -> str:
    """The median, and in brackets the least and the most where there were several rounds."""
    middle = f"{median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def as_markdown(rows: Sequence[Row]) -> str:
    lines = ["| figure | measured | beside it | must reach | |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.figure} | {row.measured} | {row.beside} | {row.target} | {'met' if row.is_met else '**missed**'} |"
        for row in rows
    ]
    return "\n".join(lines)
