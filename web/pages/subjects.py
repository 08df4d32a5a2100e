"""What a job is about, in a line; and the kinds as people call them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.document import Job
from jobs.subjects import subject_of
from queues.catalogue import KINDS
from web.pages.words import seconds_between

UNUSED_WITH: Mapping[str, tuple[str, ...]] = {"videoUrl": ("duration", "size"), "prompt": ("quality",)}
"""Fields that stand in an order by default alone, by the field with which they mean nothing: videos are filmed or fetched."""
COME_BY_THEMSELVES = ("thumbnails",)
"""Kinds that a list shows when it is asked for something: their pictures stand beside the jobs that they are of."""
ONE_OF: Mapping[str, str] = {"analytics": "Analytics"}
"""Kinds whose one is not called as they are without their s."""


def kinds_of_work() -> list[str]:
    """The kinds that people order, in the catalogue's order."""
    return [kind.name for kind in KINDS.values() if not kind.internal]


def one(kind: str) -> str:
    """What one job of the kind makes: `Article`."""
    return ONE_OF.get(kind, kind.removesuffix("s").capitalize())


def with_article(thing: str) -> str:
    """`an article`, `a video`."""
    return f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}"


def took(job: Job) -> float | None:
    """Seconds from the first claim to the end."""
    return seconds_between(job.started_at, job.finished_at) if job.started_at and job.finished_at else None


def subject(job: Job) -> str:
    """What the job is about: the title of its article once it has one, else what was ordered."""
    if title := (job.result or {}).get("title"):
        return str(title)
    if named := subject_of(job.payload):
        return named
    if isinstance(made_from := job.payload.get("jobId"), str):
        return f"{one(job.kind)} for job {made_from[:8]}"
    return f"{one(job.kind)} {job.id[:8]}"


def details(payload: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What was ordered, field by field, without what was left empty or means nothing in such an order."""
    unused = {name for given, names in UNUSED_WITH.items() if payload.get(given) for name in names}
    return [(name, value) for name, value in payload.items() if value not in (None, [], {}, "", False) and name not in unused]
