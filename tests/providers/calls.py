"""An attempt as a provider sees it, written down for the test to read."""

from __future__ import annotations

import json
from threading import Event
from typing import Any

from jobs.errors import Cancelled
from providers.base import Checkpoint, Usage


class RecordingCall:
    """A `providers.base.Call` that records all it is told: `texts`, `stages`, `kept`, `checks`.

    The job is cancelled by `cancel()` from any thread, or at the check number `cancel_at_check` (the first is 1): that check
    and all after it raise `Cancelled`, and a pause ends at once. `next_attempt()` is the attempt that follows this one.
    """

    def __init__(
        self,
        *,
        idempotency_key: str = "job-1",
        model_id: str | None = None,
        checkpoint: Checkpoint | None = None,
        cancel_at_check: int | None = None,
        traceparent: str | None = None,
    ) -> None:
        self.idempotency_key = idempotency_key
        self.model_id = model_id
        self.traceparent = traceparent
        self.checkpoint: Checkpoint = checkpoint or {}
        self.texts: list[str] = []
        self.stages: list[tuple[float, str]] = []
        self.kept: list[dict[str, Any]] = []
        self.charges: list[tuple[str, Usage, str]] = []
        self.checks = 0
        self._cancel_at_check = cancel_at_check
        self._cancelled = Event()

    @property
    def written(self) -> str:
        """All the text so far."""
        return "".join(self.texts)

    @property
    def percents(self) -> list[float]:
        return [percent for percent, _ in self.stages]

    def cancel(self) -> None:
        self._cancelled.set()

    def next_attempt(self) -> RecordingCall:
        """The same job's next attempt, with what this one kept last (or was given) as its checkpoint."""
        return RecordingCall(
            idempotency_key=self.idempotency_key,
            model_id=self.model_id,
            checkpoint=self.kept[-1] if self.kept else self.checkpoint,
        )

    def begin(self) -> None:
        self.check()

    def end(self) -> None:
        self.check()

    def used(self, provider: str, usage: Usage, *, paid_as: str) -> None:
        self.charges.append((provider, usage, paid_as))

    def keep(self, checkpoint: Checkpoint, *, resumes: bool = False) -> None:
        self.kept.append(json.loads(json.dumps(dict(checkpoint))))  # refuses what is no JSON, as a real store does

    def text(self, piece: str) -> None:
        self.texts.append(piece)

    def progress(self, percent: float, stage: str) -> None:
        self.stages.append((percent, stage))

    def check(self) -> None:
        self.checks += 1
        if self.checks == self._cancel_at_check:
            self.cancel()
        if self._cancelled.is_set():
            raise Cancelled

    def pause(self, seconds: float) -> None:
        self._cancelled.wait(seconds)
        self.check()
