"""What an AI service's answers mean for the job: which of our errors they are, and in which words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from jobs.errors import JobError, ProviderGatewayError, ProviderRateLimited, ProviderRefused, ProviderUnavailable

REASON_CHARACTERS = 300
"""Of a service's own words, so many reach the user."""

_TRY_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY}
_GATEWAY = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}


def error_of(status: int, headers: Mapping[str, str], reason: object = None) -> JobError:
    """The error that an answer with this status is; `reason` is what the service says about it, in whatever form."""
    wait = retry_after_seconds(headers.get("Retry-After"))
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return ProviderRateLimited(retry_after_seconds=wait)
    if status in _GATEWAY:
        return ProviderGatewayError(f"The AI service is down (HTTP {status}).", retry_after_seconds=wait)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TRY_AGAIN:
        return ProviderUnavailable(f"The AI service is failing (HTTP {status}).", retry_after_seconds=wait)
    if status >= HTTPStatus.BAD_REQUEST:
        return ProviderRefused(plain(reason) or f"The AI service refuses this order (HTTP {status}) and does not say why.")
    return ProviderUnavailable(f"The AI service answered in an unexpected way (HTTP {status}).")


def plain(reason: object) -> str:
    """A service's reason on one line, shortened; `""` if it is none. Takes a text or a list of `{"loc", "msg"}`."""
    if isinstance(reason, list):
        reason = "; ".join(filter(None, map(_complaint, reason)))
    if not isinstance(reason, str):
        return ""
    line = " ".join("".join(character if character.isprintable() else " " for character in reason).split())
    return line if len(line) <= REASON_CHARACTERS else line[: REASON_CHARACTERS - 1].rstrip() + "…"


def _complaint(fault: object) -> str:
    if not isinstance(fault, dict):
        return fault if isinstance(fault, str) else ""
    message, location = fault.get("msg"), fault.get("loc")
    if not isinstance(message, str):
        return ""
    return f"{location[-1]}: {message}" if isinstance(location, list) and location else message


def retry_after_seconds(header: str | None) -> float | None:
    """How long `Retry-After` asks us to wait, from now; None where it is missing or makes no sense."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        return _seconds_until(header)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(http_date: str) -> float | None:
    try:
        then = parsedate_to_datetime(http_date)
    except ValueError:
        return None
    if then.tzinfo is None:  # "-0000": UTC, of an unsure clock
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())


def count(usage: Mapping[str, Any], name: str) -> int:
    """A number of a service's usage; 0 where it does not say."""
    number = usage.get(name)
    return number if isinstance(number, int) and number > 0 else 0
