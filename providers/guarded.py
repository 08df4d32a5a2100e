"""A provider as jobs ask it: only where the fleet may, and with each failure in the right family.

What is no fault of the job's (the provider is down, or asks us to slow down) parks it, and counts no attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import TypeVar

from jobs.counters import add
from jobs.database import DatabaseUnavailable
from jobs.errors import JobError, NotNow, ProviderGatewayError, ProviderRateLimited, ProviderUnreachable
from jobs.tracing import span
from providers.base import Call, Checkpoint, Draft, Generated, Provider
from providers.outages import ask_leave, is_down, not_now
from providers.rates import rates
from providers.requests import ArticleRequest, ImageRequest, VideoRequest
from queues.steps import Step, reached

DATABASE_SECONDS = 1.0
"""Between two tries while MongoDB is away."""

T = TypeVar("T", Draft, Generated)


class GuardedProvider:
    """A provider behind the outage guard and the rate limit. What it raises besides the provider's own errors is `NotNow`."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    @property
    def name(self) -> str:
        return self._provider.name

    @property
    def kinds(self) -> frozenset[str]:
        return self._provider.kinds

    @property
    def pays_once(self) -> bool:
        return self._provider.pays_once

    def write(self, request: ArticleRequest, call: Call) -> Draft:
        """Write an article."""
        return self._asked("articles", call, lambda: self._provider.write(request, call))

    def draw(self, request: ImageRequest, call: Call) -> Generated:
        """Make an image."""
        return self._asked("images", call, lambda: self._provider.draw(request, call))

    def film(self, request: VideoRequest, call: Call) -> Generated:
        """Make a video, or wait on for the one that the checkpoint names."""
        return self._asked("videos", call, lambda: self._provider.film(request, call))

    def cancel(self, checkpoint: Checkpoint) -> None:
        self._provider.cancel(checkpoint)

    def probe(self) -> None:
        self._provider.probe()

    def _asked(self, kind: str, call: Call, order: Callable[[], T]) -> T:
        self._wait_for_leave(call)
        call.begin()
        if _waits_on(call):
            call.keep(call.checkpoint, resumes=True)
        reached(Step.CALLING, call.idempotency_key)
        try:
            try:
                return self._measured(kind, call, order)
            finally:
                call.end()
        except ProviderUnreachable as error:
            with suppress(DatabaseUnavailable):  # the next call finds it down, too
                is_down(self._provider, monotonic())
            raise not_now(self._provider) from error
        except ProviderGatewayError as error:
            if self._is_down():
                raise not_now(self._provider) from error
            raise
        except ProviderRateLimited as error:
            if error.retry_after_seconds is None:
                raise
            raise self._held_back(call, error.retry_after_seconds) from error

    def _measured(self, kind: str, call: Call, order: Callable[[], T]) -> T:
        """The order given: a span of the job's trace, counted by how it ends."""
        outcome = "broken_off"
        try:
            with span(f"{self.name} {kind}", "client", call.traceparent, job_id=call.idempotency_key):
                began = monotonic()
                made = order()
                took = monotonic() - began
            outcome = "ok"
        except JobError as error:
            outcome = error.code
            raise
        finally:
            add("provider_requests", provider=self.name, outcome=outcome)
        add("generations", kind=kind, provider=self.name)
        for direction, tokens in (("input", made.usage.input_tokens), ("output", made.usage.output_tokens)):
            if tokens:
                add("provider_tokens", tokens, provider=self.name, direction=direction)
        usage = made.usage
        call.used(self.name, replace(usage, seconds=usage.seconds or round(took, 3)), paid_as=self._paid_as(call))
        return made

    def _paid_as(self, call: Call) -> str:
        """What an attempt after this one would pay for anew: nothing where the provider knows its own job, or ours, again."""
        return generation_of(call.checkpoint) or ("once" if self._provider.pays_once else "")

    def _wait_for_leave(self, call: Call) -> None:
        """Return when the provider may be asked. MongoDB being away is waited out: nobody knows whether it may."""
        while True:
            call.check()
            try:
                ask_leave(self._provider)
                rates().await_hold(self.name, call)
                if not _waits_on(call):
                    rates().take(self.name, call)
            except DatabaseUnavailable:
                call.pause(DATABASE_SECONDS)
            else:
                return

    def _is_down(self) -> bool:
        try:
            return is_down(self._provider, monotonic())
        except DatabaseUnavailable:
            return True  # the probe failed, and the fleet can't be told

    def _held_back(self, call: Call, seconds: float) -> NotNow:
        while True:
            try:
                return rates().hold(self.name, call.model_id, seconds)
            except DatabaseUnavailable:
                call.pause(DATABASE_SECONDS)


def _waits_on(call: Call) -> bool:
    """Whether an earlier attempt has ordered already, and this one waits on."""
    return bool(generation_of(call.checkpoint))


def generation_of(checkpoint: Checkpoint) -> str:
    """The provider's own job that the checkpoint names, if it does."""
    return next((str(kept) for name, kept in checkpoint.items() if name.endswith("_id")), "")
