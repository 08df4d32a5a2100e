"""What a handler works with: its job's attempt, as it concerns the handler. Everything else is JobTask's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from threading import Event
from time import monotonic
from typing import Any, Protocol

import structlog

from jobs import effects, tracing
from jobs.counters import count
from jobs.database import DatabaseUnavailable
from jobs.document import Job
from jobs.errors import LeaseLost
from jobs.spending import AMOUNTS, spending
from jobs.store import store
from jobs.texts import TextStream
from providers.base import Provider, Usage
from providers.choice import provider_named
from providers.guarded import GuardedProvider, generation_of
from queues.steps import Step, reached
from tasks.patience import patiently

log = structlog.get_logger()

PROGRESS_SECONDS = 0.5
"""Progress is written at most this often."""
AWAY_SECONDS = 5
"""With MongoDB away it is not tried for so long: each try would hold up the attempt."""


class HoldOfRun(Protocol):
    """What an attempt knows of its hold: `tasks.hold.Hold`, or a child's view of its parent's."""

    @property
    def token(self) -> str: ...

    @property
    def end(self) -> str | None: ...

    @property
    def changed(self) -> Event: ...

    def check(self) -> None: ...

    def begin_call(self) -> None: ...

    def kept(self, *, resumes: bool) -> None: ...

    def end_call(self) -> None: ...


class Run:
    """One attempt of a job. It is the `providers.base.Call` that providers talk to."""

    def __init__(self, job: Job, hold: HoldOfRun) -> None:
        self.job = job
        self.hold = hold
        self.began = monotonic()
        self._stream: TextStream | None = None
        self._checkpoint: Mapping[str, Any] = job.checkpoint
        self._told: tuple[int, str] = (-1, "")
        self._told_at = 0.0
        self.generations = 0
        """How many this attempt has entered in the ledger."""
        self.follow_ups: list[effects.Effect] = []

    @property
    def provider(self) -> Provider:
        """The AI provider of this job, as far as the fleet may ask it now.

        Raises:
            NotNow: the job's user has spent what he may today, and this would cost more.
        """
        provider = provider_named(self.job.provider)
        is_paid = generation_of(self._checkpoint) or (provider.pays_once and self.job.usage)
        if not is_paid:
            patiently(partial(spending().ask_leave, self.job, provider.name))
        return GuardedProvider(provider)

    @property
    def token(self) -> str:
        """The lease's token, which every write of this attempt asks for."""
        return self.hold.token

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self.job.attempts

    @property
    def idempotency_key(self) -> str:
        return self.job.id

    @property
    def model_id(self) -> str | None:
        return self.job.model_id

    @property
    def traceparent(self) -> str | None:
        return tracing.current() or self.job.traceparent

    @property
    def checkpoint(self) -> Mapping[str, Any]:
        return self._checkpoint

    def begin(self) -> None:
        self.hold.begin_call()
        if self.job.crashes and not self._checkpoint and not provider_named(self.job.provider).pays_once:
            log.warning("the generation of a worker that died may be paid for twice")
            count("generations_repeated", kind=self.job.kind)

    def end(self) -> None:
        self.hold.end_call()

    def keep(self, checkpoint: Mapping[str, Any], *, resumes: bool = False) -> None:
        if not patiently(partial(store().checkpoint, self.job.id, self.token, checkpoint)):
            raise LeaseLost
        self._checkpoint = checkpoint
        self.hold.kept(resumes=resumes)
        reached(Step.KEPT, self.job.id)

    def used(self, provider: str, usage: Usage, *, paid_as: str) -> None:
        self.generations += 1
        key = f"{self.job.id}:{paid_as or self.token}:{self.generations}"
        model = usage.model or self.model_id or ""
        amounts = {name: value for name, value in asdict(usage).items() if name in AMOUNTS}
        patiently(partial(spending().enter, key, self.job, provider, model, amounts))

    def text(self, piece: str) -> None:
        if self._stream is None:
            self._stream = TextStream(self.job)
        self._stream.add(piece)

    def progress(self, percent: float, stage: str) -> None:
        """Tell the user how far the job is. The last percent is JobTask's."""
        told = (min(int(percent), 99), stage)
        if told == self._told or monotonic() - self._told_at < PROGRESS_SECONDS:
            return
        try:
            still_ours = store().progress(self.job.id, self.token, percent=told[0], stage=stage)
        except DatabaseUnavailable:  # the next one tells more; the provider's text does not wait for it
            self._told_at = monotonic() + AWAY_SECONDS
            return
        self._told, self._told_at = told, monotonic()
        if not still_ours:
            raise LeaseLost

    def check(self) -> None:
        self.hold.check()

    def pause(self, seconds: float) -> None:
        self.hold.changed.wait(seconds)
        self.hold.check()

    @contextmanager
    def reaching_out(self) -> Iterator[None]:
        """Around what outsiders notice, a request or a mail: a worker that is told to stop lets it end, and records it.

        Raises:
            LeaseLost, Cancelled, TimedOut: it must not begin, or counts no more.
        """
        self.hold.begin_call()
        yield
        self.hold.end_call()

    def then(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Once this job is done, submit a job of `kind` for the same user and link it."""
        self.follow_ups.append(effects.submission(self.job, kind, payload))

    def close(self) -> None:
        """Write what text is still unwritten."""
        if self._stream is not None:
            self._stream.flush()
