"""Finding out whether a provider is down, and when it is there again: by its probe, one at a time in the whole fleet."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from threading import Lock
from time import monotonic

from jobs.errors import NotNow, ProviderRefused, ProviderUnavailable, ProviderUnreachable
from jobs.outages import Outage, outages
from jobs.waiting import OUTAGE
from providers.base import Provider
from providers.choice import provider_named
from settings import settings


def ask_leave(provider: Provider) -> None:
    """Return where the provider may be asked. Where its probe is due, the one caller who wins it makes it, and may go on.

    Raises:
        NotNow: the provider is down.
        DatabaseUnavailable: MongoDB is away, and a probe was due.
    """
    outage = outages().known().get(provider.name)
    if outage is None or (outage.seconds_left <= 0 and _probed(provider)):
        return
    raise not_now(provider)


def not_now(provider: Provider) -> NotNow:
    """Park the job until the provider has been probed again."""
    return NotNow(OUTAGE, seconds=outages().patience(provider.name))


def is_down(provider: Provider, failed_at: float) -> bool:
    """Whether the provider is down, as a probe made at once finds; if so, the whole fleet knows it from now on.

    `failed_at` is the time of the call that failed (`time.monotonic`): a probe that began after it, for another call, will do.

    Raises:
        DatabaseUnavailable: it is, but MongoDB is away, so the fleet does not know.
    """
    return _verdicts().is_down(provider, failed_at)


def probe_due() -> None:
    """Probe each provider that is down and whose probe is due, unless another process does. For the rounds of relays.

    Raises:
        DatabaseUnavailable: MongoDB is away.
    """
    for outage in outages().known().values():
        if outage.seconds_left <= 0 and (provider := _set_up_here(outage)):
            _probed(provider)


def _set_up_here(outage: Outage) -> Provider | None:
    try:
        return provider_named(outage.provider)
    except ProviderRefused:
        return None  # the processes that use it probe it


def _probed(provider: Provider) -> bool:
    """Make the probe that is due, if nobody else does; whether it was made and succeeded."""
    won = outages().win_probe(provider.name)
    if won is None:
        return False
    try:
        provider.probe()
    except ProviderUnavailable as error:
        outages().put_off(won, _in_words(error))
        return False
    outages().close(won)
    return True


class _Verdicts:
    """Of a process's calls that fail at the same time one probes, and the others take its verdict."""

    def __init__(self) -> None:
        self._one_at_a_time: defaultdict[str, Lock] = defaultdict(Lock)
        self._well_at: dict[str, float] = {}

    def is_down(self, provider: Provider, failed_at: float) -> bool:
        with self._one_at_a_time[provider.name]:
            if self._well_at.get(provider.name, 0) > failed_at:
                return False
            if provider.name in outages().known():
                return True
            probed_at = monotonic()
            try:
                provider.probe()
            except ProviderUnavailable as error:
                outages().open(provider.name, _in_words(error), _waiting_kinds(provider))
                return True
            self._well_at[provider.name] = probed_at
            return False


def _waiting_kinds(provider: Provider) -> frozenset[str]:
    return provider.kinds if provider.name == settings().provider_name else frozenset()


def _in_words(error: ProviderUnavailable) -> str:
    """What the probe met, as an operator wants to read it."""
    return "no connection" if isinstance(error, ProviderUnreachable) else str(error).partition(". ")[0].rstrip(".")


@cache
def _verdicts() -> _Verdicts:
    return _Verdicts()
