"""Small charts, drawn on the server: the numbers of an hour as one line, with what they say in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from web.pages.words import amount

WIDTH, HEIGHT = 300, 64
MARGIN = 4


@dataclass(frozen=True)
class Chart:
    """A line from left (the oldest) to right (now); where nothing is known it is broken."""

    lines: Sequence[str]
    """The points of each unbroken piece, as SVG has them."""
    areas: Sequence[str]
    words: str
    most: float
    now: float | None

    @classmethod
    def of(cls, values: Sequence[float | None], what: str) -> Self:
        known = [value for value in values if value is not None]
        if not known:
            return cls((), (), f"{what}: nothing is known yet.", 0, None)
        most = max(known)
        pieces = _pieces(values, most or 1)
        return cls(
            lines=[" ".join(f"{x:g},{y:g}" for x, y in piece) for piece in pieces],
            areas=[_area(piece) for piece in pieces],
            words=f"{what}, over the last hour: at most {amount(most)}, lastly {amount(known[-1])}.",
            most=most,
            now=known[-1],
        )


def _pieces(values: Sequence[float | None], most: float) -> list[list[tuple[float, float]]]:
    step = WIDTH / max(len(values) - 1, 1)
    pieces: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(values):
        if value is not None:
            height = (HEIGHT - 2 * MARGIN) * value / most
            pieces[-1].append((round(place * step, 1), round(HEIGHT - MARGIN - height, 1)))
        elif pieces[-1]:
            pieces.append([])
    # a single point has no length: a short line shows it
    return [piece if len(piece) > 1 else [(max(piece[0][0] - step, 0), piece[0][1]), piece[0]] for piece in pieces if piece]


def _area(piece: Sequence[tuple[float, float]]) -> str:
    along = " ".join(f"L{x:g} {y:g}" for x, y in piece)
    return f"M{piece[0][0]:g} {HEIGHT} {along} L{piece[-1][0]:g} {HEIGHT} Z"
