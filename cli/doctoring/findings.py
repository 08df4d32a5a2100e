"""What a check finds, and how it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True)
class Fault:
    """Something that is not as it should be, and what to do about it. A warning does not count as wrong."""

    text: str
    remedy: str
    is_warning: bool = False


class State(StrEnum):
    """How a check ended."""

    WELL = "well"
    WARNING = "warning"
    WRONG = "wrong"
    NOT_CHECKED = "not checked"


MARKS = {State.WELL: "✓", State.WARNING: "!", State.WRONG: "✗", State.NOT_CHECKED: "-"}


@dataclass(frozen=True)
class Check:
    """A look at one thing. `says` is true if `look` finds no fault; `needs` are the checks that must have gone well."""

    name: str
    says: str
    look: Callable[..., Iterable[Fault]]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """How a check ended; its faults, or why it was not made."""

    check: Check
    state: State
    faults: list[Fault] = field(default_factory=list)
    reason: str = ""

    def lines(self) -> list[str]:
        """What a person reads: a line, or one for each fault."""
        if self.faults:
            return [
                f"{MARKS[State.WARNING if fault.is_warning else State.WRONG]} {self.check.name}: {fault.text} {fault.remedy}"
                for fault in self.faults
            ]
        return [f"{MARKS[self.state]} {self.check.name}: {self.reason or self.check.says}"]

    def as_json(self) -> dict[str, Any]:
        """What a machine reads."""
        faults = [
            {"text": fault.text, "remedy": fault.remedy, "severity": "warning" if fault.is_warning else "error"}
            for fault in self.faults
        ]
        return {"check": self.check.name, "state": self.state.value, "says": self.reason or self.check.says, "faults": faults}
