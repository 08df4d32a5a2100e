"""How often a user may ask (`USER_RATE_LIMIT`), and an address try keys at the sign-in page.

A moving window of the library `limits`, kept in MongoDB, so that it holds for all web processes together.
"""

from __future__ import annotations

import math
import time
from functools import cache

from limits import RateLimitItem, parse, parse_many
from limits.strategies import MovingWindowRateLimiter

from jobs.database import available, database
from jobs.windows import Windows
from settings import settings
from web.problems import Problem

FAILED_SIGN_INS = parse("10/minute")


def take_request(user_id: str) -> None:
    """Count a request of the user, if he may ask.

    Raises:
        Problem: 429, with when he may.
    """
    for limit in _limits_of_users():
        with available():
            is_within = _windows().hit(limit, "user", user_id)
        if not is_within:
            seconds = _seconds_until_free(limit, "user", user_id)
            raise too_many(f"You may ask {limit.amount:,} times in {_span(limit)}. Try again in {seconds} s.", seconds)


def ask_sign_in(address: str) -> None:
    """Return where the address has not tried too many keys that don't exist.

    Raises:
        Problem: 429, with when it may try again.
    """
    with available():
        is_free = _windows().test(FAILED_SIGN_INS, "sign-in", address)
    if not is_free:
        seconds = _seconds_until_free(FAILED_SIGN_INS, "sign-in", address)
        raise too_many(f"Too many keys were tried from your address. Try again in {seconds} s.", seconds)


def sign_in_failed(address: str) -> None:
    """Count it."""
    with available():
        _windows().hit(FAILED_SIGN_INS, "sign-in", address)


def too_many(detail: str, seconds: int) -> Problem:
    """The problem of whoever has to wait."""
    return Problem(429, detail, headers={"Retry-After": str(seconds)})


def _seconds_until_free(limit: RateLimitItem, *key: str) -> int:
    with available():
        window = _windows().get_window_stats(limit, *key)
    return max(1, math.ceil(window.reset_time - time.time()))


def _span(limit: RateLimitItem) -> str:
    return f"{limit.multiples} {limit.GRANULARITY.name}s" if limit.multiples > 1 else f"a {limit.GRANULARITY.name}"


@cache
def _windows() -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(Windows(database()))


@cache
def _limits_of_users() -> list[RateLimitItem]:
    told = settings().user_rate_limit
    return sorted(parse_many(told), key=lambda limit: limit.get_expiry()) if told else []
