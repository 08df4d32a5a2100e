"""How often providers are asked, by the whole fleet: `AI_RATE_LIMIT`, and what they ask for themselves by `Retry-After`.

Both hold for each provider and model. The limit is a moving window, kept by the library `limits`: in no stretch of a minute
there are more than 60 calls of `60/minute`. (Its sliding window counter is cheaper and only estimates; after a pause it lets a
burst through.)
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from functools import cache
from time import monotonic

from limits import RateLimitItem, parse_many
from limits.strategies import MovingWindowRateLimiter
from pymongo.collection import Collection

from jobs.database import Database, Document, available, database
from jobs.errors import NotNow
from jobs.expressions import NOW, later
from jobs.glance import Glance
from jobs.pace import Pace, pace
from jobs.waiting import RATE_LIMIT, waiting
from jobs.windows import Windows
from providers.base import Call
from settings import settings

WAITED_IN_PLACE_SECONDS = 1.0
"""A shorter wait is not worth a message."""
AT_ONCE_SECONDS = 0.01
LONGEST_WAIT_SECONDS = 600
LONGEST_HOLD_SECONDS = 86_400
"""Of what a provider asks for; a day is more than any means."""
COUNTED_JOBS = 10_000


class Rates:
    """Over one database. Methods raise `DatabaseUnavailable` when MongoDB is away."""

    def __init__(self, source: Database, pace: Pace, limits: list[RateLimitItem]) -> None:
        self._source = source
        self._pace = pace
        # shortest window first: where a longer one is full, the place taken in the shorter is lost, and that costs nothing
        self._limits = sorted(limits, key=lambda limit: limit.get_expiry())
        self._windows = MovingWindowRateLimiter(Windows(source))
        self._held: Glance[Mapping[str, float]] = Glance(self._look, at_first={})

    def take(self, provider: str, call: Call) -> None:
        """Return when the provider may be asked once more; a short wait is waited here.

        Raises:
            NotNow: it takes longer.
        """
        while (seconds := self._seconds_until_free(provider, call.model_id)) > 0:
            if seconds > WAITED_IN_PLACE_SECONDS:
                raise NotNow(RATE_LIMIT, seconds=seconds + self._jitter())
            call.pause(seconds)

    def await_hold(self, provider: str, call: Call) -> None:
        """Return where the provider has not asked for time. Takes no place of the limit.

        Raises:
            NotNow: it has.
        """
        seconds = self._held().get(_key(provider, call.model_id), 0) - monotonic()
        if seconds > WAITED_IN_PLACE_SECONDS:
            raise NotNow(RATE_LIMIT, seconds=seconds + self._jitter())
        if seconds > 0:
            call.pause(seconds)

    def hold(self, provider: str, model: str | None, seconds: float) -> NotNow:
        """The provider asks for so many seconds: nobody asks before then. What parks the job that was told."""
        seconds = min(seconds, LONGEST_HOLD_SECONDS)
        until = {"$max": ["$until", later(seconds)]}
        try:
            with available():
                self._holds.update_one({"_id": _key(provider, model)}, [{"$set": {"until": until}}], upsert=True)
        finally:
            self._held.forget()
        return NotNow(RATE_LIMIT, seconds=seconds + self._jitter())

    def _seconds_until_free(self, provider: str, model: str | None) -> float:
        """0: a place is taken."""
        key = _key(provider, model)
        with available():
            full = next((limit for limit in self._limits if not self._windows.hit(limit, key)), None)
            if full is None:
                return 0
            window = self._windows.get_window_stats(full, key)
        seconds = AT_ONCE_SECONDS if window.remaining > 0 else max(window.reset_time - time.time(), AT_ONCE_SECONDS)
        if seconds <= WAITED_IN_PLACE_SECONDS:
            return seconds
        in_line = waiting().count(RATE_LIMIT, provider, most=COUNTED_JOBS)  # each waits for a place of its own
        return min(seconds + in_line * full.get_expiry() / full.amount, LONGEST_WAIT_SECONDS)

    def _jitter(self) -> float:
        return random.uniform(0, self._pace.lease / 10)

    @property
    def _holds(self) -> Collection[Document]:
        return self._source.collection("rate_holds")

    def _look(self) -> Mapping[str, float]:
        left = {"$divide": [{"$subtract": ["$until", NOW]}, 1000]}
        with available():
            return {each["_id"]: monotonic() + each["left"] for each in self._holds.aggregate([{"$set": {"left": left}}])}


def _key(provider: str, model: str | None) -> str:
    return f"{provider}/{model or ''}"


@cache
def rates() -> Rates:
    """The rates of this process's settings."""
    told = settings().ai_rate_limit
    return Rates(database(), pace(), parse_many(told) if told else [])
