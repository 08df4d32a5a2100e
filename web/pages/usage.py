"""`/usage`: what generations used and cost, day by day; one's own, or everybody's for those who see all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self

from flask import render_template, request

from jobs.spending import DayOfUsage, spending, usage_by_day
from settings import settings
from web.identity import current_user
from web.pages.site import blueprint
from web.pages.words import amount, lasting, money

RANGES = (7, 30, 90)
BAR_HEIGHT, BAR_STEP = 100, 10
LEAST_SECONDS = 0.05
"""What took less is not told: it would read 0 s."""


@dataclass(frozen=True, kw_only=True)
class Sum:
    """Usage summed up. `cost` None: no price is known."""

    generations: int = 0
    tokens: int = 0
    images: int = 0
    video_seconds: float = 0
    seconds: float = 0
    cost: float | None = None

    @classmethod
    def of(cls, parts: Iterable[DayOfUsage]) -> Self:
        found = list(parts)
        costs = [part.cost for part in found if part.cost is not None]
        return cls(
            generations=sum(part.generations for part in found),
            tokens=sum(part.input_tokens + part.output_tokens for part in found),
            images=sum(part.images for part in found),
            video_seconds=sum(part.video_seconds for part in found),
            seconds=sum(part.seconds for part in found),
            cost=sum(costs) if costs else None,
        )


@dataclass(frozen=True)
class Bar:
    """A day of the chart."""

    x: float
    height: float
    words: str


@dataclass(frozen=True)
class Limit:
    """What a user's jobs may cost in a day, and have cost today."""

    spent: float
    most: float

    @property
    def percent(self) -> int:
        return min(100, int(100 * self.spent / self.most))

    @property
    def is_reached(self) -> bool:
        return self.spent >= self.most


@blueprint.get("/usage")
def usage() -> str:
    """The days, the newest first."""
    days = request.args.get("days", 30, type=int)
    days = days if days in RANGES else 30
    found = usage_by_day(current_user().sees, days)
    by_day: dict[str, list[DayOfUsage]] = defaultdict(list)
    for part in found:
        by_day[part.day].append(part)
    sums = {day: Sum.of(parts) for day, parts in by_day.items()}
    return render_template(
        "usage.html",
        days=days,
        ranges=RANGES,
        by_day=by_day,
        sums=sums,
        total=Sum.of(found),
        bars=_bars(sums, days),
        width=days * BAR_STEP,
        is_priced=any(part.cost is not None for part in found),
        limit=_limit_of_today(),
        most=_most(sums),
    )


def used(usage: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """What a job used, in words; what it did not use is left out."""
    if not usage:
        return []
    told = [(name, amount(usage[name])) for name in ("input_tokens", "output_tokens", "images") if usage.get(name)]
    told += [(name, lasting(usage[name])) for name in ("video_seconds",) if usage.get(name)]
    if (usage.get("seconds") or 0) >= LEAST_SECONDS:
        told.append(("generated in", lasting(usage["seconds"])))
    if usage.get("cost") is not None:
        told.append(("cost", money(usage["cost"])))
    if (times := usage.get("generations", 1)) > 1:
        told.append(("generations", amount(times)))
    told += [(name, str(usage[name])) for name in ("provider", "model") if usage.get(name)]
    return told


def _limit_of_today() -> Limit | None:
    """The user's own; None where there is none, or he orders nothing."""
    most, user = settings().user_spending_limit, current_user()
    return Limit(spending().spent_today(user.id), most) if most is not None and user.may_submit else None


def _most(sums: Mapping[str, Sum]) -> str:
    """The highest bar, in words."""
    if any(each.cost for each in sums.values()):
        return money(max(each.cost or 0 for each in sums.values()))
    return amount(max((each.generations for each in sums.values()), default=0))


def _bars(sums: Mapping[str, Sum], days: int) -> list[Bar]:
    """A bar for each day, the oldest first; of what it cost where prices are known, else of its generations."""
    today = datetime.now(UTC).date()
    is_priced = any(each.cost for each in sums.values())
    heights = {day: (each.cost or 0) if is_priced else each.generations for day, each in sums.items()}
    most = max(heights.values(), default=0) or 1
    bars = []
    for place in range(days):
        day: date = today - timedelta(days=days - 1 - place)
        of_day = sums.get(day.isoformat(), Sum())
        told = money(of_day.cost or 0) if is_priced else f"{of_day.generations:,} generations"
        height = heights.get(day.isoformat(), 0) / most * (BAR_HEIGHT - 4)
        bars.append(Bar(place * BAR_STEP, round(max(height, 1), 1), f"{day:%-d %b}: {told}"))
    return bars
