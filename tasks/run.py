"""What a handler works with: its job's attempt, as it concerns the handler. Everything else is JobTask's."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any

from jobs import effects
from jobs.document import Job
from jobs.errors import Cancelled, LeaseLost
from jobs.store import store
from jobs.texts import TextStream
from providers.base import Provider
from providers.choice import provider_named
from tasks.beat import Hold

PROGRESS_SECONDS = 0.5
"""Progress is written at most this often."""


class Run:
    """One attempt of a job. It is the `providers.base.Call` that providers talk to."""

    def __init__(self, job: Job, hold: Hold) -> None:
        self.job = job
        self._hold = hold
        self._stream: TextStream | None = None
        self._checkpoint: Mapping[str, Any] = job.checkpoint
        self._told: tuple[int, str] = (-1, "")
        self._told_at = 0.0
        self.follow_ups: list[effects.Effect] = []

    @property
    def provider(self) -> Provider:
        """The AI provider of this job."""
        return provider_named(self.job.provider)

    @property
    def token(self) -> str:
        """The lease's token, which every write of this attempt asks for."""
        return self._hold.token

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
        return None  # jobs are not traced yet

    @property
    def checkpoint(self) -> Mapping[str, Any]:
        return self._checkpoint

    def begin(self) -> None:
        self.check()

    def end(self) -> None:
        self.check()

    def keep(self, checkpoint: Mapping[str, Any], *, resumes: bool = False) -> None:
        if not store().checkpoint(self.job.id, self.token, checkpoint):
            raise LeaseLost
        self._checkpoint = checkpoint

    def text(self, piece: str) -> None:
        if self._stream is None:
            self._stream = TextStream(self.job)
        self._stream.add(piece)

    def progress(self, percent: float, stage: str) -> None:
        """Tell the user how far the job is. The last percent is JobTask's."""
        told = (min(int(percent), 99), stage)
        if told == self._told or monotonic() - self._told_at < PROGRESS_SECONDS:
            return
        self._told, self._told_at = told, monotonic()
        if not store().progress(self.job.id, self.token, percent=told[0], stage=stage):
            raise LeaseLost

    def check(self) -> None:
        if self._hold.is_lost:
            raise LeaseLost
        if self._hold.is_cancelled:
            raise Cancelled

    def pause(self, seconds: float) -> None:
        self._hold.changed.wait(seconds)
        self.check()

    def then(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Once this job is done, submit a job of `kind` for the same user and link it."""
        self.follow_ups.append(effects.submission(self.job, kind, payload))

    def close(self) -> None:
        """Write what text is still unwritten."""
        if self._stream is not None:
            self._stream.flush()
