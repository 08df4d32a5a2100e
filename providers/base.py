"""What an AI provider is: the protocol that every implementation in this package follows.

A provider turns a request into a `Draft` or `MediaFile`s. While it works it talks to its `Call`: it gives text as it comes,
tells how far it is, keeps what the next attempt must know, and asks whether it should go on. It raises `Retryable` when the
service is not there, `Permanent` when the service refuses, and never an exception of its own library.
`tests/providers/test_conformance.py` holds every implementation to this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from providers.requests import ArticleRequest, ImageRequest, VideoRequest

Checkpoint = Mapping[str, Any]
"""What an attempt leaves to the next one; JSON values only."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a generation used. Zero where a provider does not say."""

    input_tokens: int = 0
    output_tokens: int = 0
    images: int = 0
    video_seconds: float = 0
    seconds: float = 0
    """Of work, as the provider counts it; zero: as long as it took to answer."""
    model: str = ""
    """The model that was used; empty: the one that the job names, if it does."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An article as a provider wrote it. `content` is Markdown and starts with the title as its only first-level heading."""

    title: str
    content: str
    usage: Usage = Usage()


@dataclass(frozen=True, kw_only=True)
class MediaFile:
    """A file that a provider made. `file` is open for reading, at its start; who takes it closes it."""

    name: str
    content_type: str
    file: BinaryIO
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Generated:
    """Media, and what they used."""

    files: list[MediaFile]
    usage: Usage = field(default_factory=Usage)


class Call(Protocol):
    """The attempt on whose behalf a provider works; `tasks.run.Run` in production."""

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of a job: a provider that honours it generates once."""

    @property
    def model_id(self) -> str | None:
        """The model that the job names, if it names one."""

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context to send along, or None where the job is not traced."""

    @property
    def checkpoint(self) -> Checkpoint:
        """What an earlier attempt kept; empty on the first."""

    def keep(self, checkpoint: Checkpoint, *, resumes: bool = False) -> None:
        """Keep `checkpoint` for the next attempt; stored on return. Keep the provider's job id before waiting for it.

        With `resumes` the provider works on by itself: the next attempt only waits for what the checkpoint names.
        """

    def begin(self) -> None:
        """The provider is about to be asked. From here on giving the attempt up may cost a second payment."""

    def end(self) -> None:
        """The provider has answered or failed."""

    def used(self, provider: str, usage: Usage, *, paid_as: str) -> None:
        """What a generation that has just ended used; entered on return.

        Those of a job that have the same `paid_as` are paid once; empty: each attempt's is paid.
        """

    def text(self, piece: str) -> None:
        """The next piece of the article, as it comes. An attempt that goes on from a checkpoint gives the kept text first."""

    def progress(self, percent: float, stage: str) -> None:
        """How far the generation is: 0 to 100 of the provider's part, and what it is doing, in words for the user."""

    def check(self) -> None:
        """Ask whether to go on, every second or so while waiting.

        Raises:
            jobs.errors.Cancelled: the user cancelled the job.
            jobs.errors.LeaseLost: another worker has the job.
        """

    def pause(self, seconds: float) -> None:
        """Wait `seconds`, or until `check` would raise; then check."""


class Provider(Protocol):
    """An AI service. One instance serves every thread of a process."""

    @property
    def name(self) -> str:
        """The word that `AI_PROVIDER` and a job's `provider` use."""

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds it can do. Calling the method of another kind raises `ProviderRefused`."""

    def write(self, request: ArticleRequest, call: Call) -> Draft:
        """Write an article, giving its text to `call.text` as it comes."""

    def draw(self, request: ImageRequest, call: Call) -> Generated:
        """Make an image."""

    def film(self, request: VideoRequest, call: Call) -> Generated:
        """Make a video, starting from `call.checkpoint` where an earlier attempt left one."""

    @property
    def pays_once(self) -> bool:
        """Whether asking again with the same idempotency key, or going on from a checkpoint, is never paid twice."""

    def cancel(self, checkpoint: Checkpoint) -> None:
        """Stop the generation that `checkpoint` names, if the service can. Unknown or ended ones are no error."""

    def probe(self) -> None:
        """Return when the service answers.

        Raises:
            jobs.errors.ProviderUnavailable: it does not.
        """
