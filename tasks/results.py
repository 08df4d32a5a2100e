"""What handlers return: each sort of result knows how to keep itself under the job's lease."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, Self

from jobs.content import save_article
from jobs.document import Job
from jobs.media import save_media
from providers.base import Draft, Generated, MediaFile, Usage
from providers.words import count_words
from tasks.patience import patiently


class Result(Protocol):
    """The outcome of a handler."""

    @property
    def usage(self) -> Usage:
        """What the generation used."""

    def keep(self, job: Job) -> Mapping[str, Any]:
        """Store content and files under the lease's token; what the job's document says of them."""


@dataclass(frozen=True)
class Article:
    """A written article; `content` is Markdown."""

    title: str
    content: str
    usage: Usage

    @classmethod
    def from_draft(cls, draft: Draft) -> Self:
        return cls(draft.title, draft.content, draft.usage)

    def keep(self, job: Job) -> Mapping[str, Any]:
        words = count_words(self.content)
        return patiently(partial(save_article, job, title=self.title, content=self.content, word_count=words))


@dataclass(frozen=True)
class Media:
    """Images or videos."""

    generated: Generated

    @property
    def usage(self) -> Usage:
        return self.generated.usage

    def keep(self, job: Job) -> Mapping[str, Any]:
        return {"media": [_keep_file(job, made) for made in self.generated.files]}


def _keep_file(job: Job, made: MediaFile) -> str:
    def save() -> str:
        made.file.seek(0)
        return save_media(
            job,
            name=made.name,
            content_type=made.content_type,
            file=made.file,
            width=made.width,
            height=made.height,
            duration_seconds=made.duration_seconds,
        )

    with made.file:
        return patiently(save)
