"""A service's reasons and waits, in whatever form they come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from jobs.errors import ProviderRefused
from providers.answers import REASON_CHARACTERS, error_of, plain, retry_after_seconds


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("too\nlong\x1b[31m", "too long [31m"),
        ([{"loc": ["body", "tone"], "msg": "unknown tone"}, {"msg": "and more"}], "tone: unknown tone; and more"),
        (["one", 2, {"msg": None}], "one"),
        (None, ""),
        ({"a": 1}, ""),
    ],
)
def test_a_reason_is_told_on_one_plain_line(reason: object, words: str) -> None:
    assert plain(reason) == words


def test_a_long_reason_is_shortened() -> None:
    told = plain("word " * 1000)
    assert len(told) <= REASON_CHARACTERS
    assert told.endswith("word…")


def test_a_refusal_without_a_reason_says_so() -> None:
    error = error_of(418, {})
    assert isinstance(error, ProviderRefused)
    assert "418" in str(error)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("1.5", 1.5),
        ("-3", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0),
        *((nonsense, None) for nonsense in ("inf", "nan", "soon", "", None)),
    ],
)
def test_a_wait_is_read_or_left_out(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header) == seconds


def test_a_date_to_wait_for_is_counted_from_now() -> None:
    header = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    assert 7000 < (retry_after_seconds(header) or 0) <= 7200
