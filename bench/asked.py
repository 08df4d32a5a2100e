"""What was asked for at the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How to measure."""

    rounds: int = 3
    peers: tuple[str, ...] = ()
    """Only these; empty: all."""
    against: Path | None = None
    """Another checkout of this project, measured as a peer."""
