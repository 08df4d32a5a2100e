"""The words that a job is found by: a few of its order, kept in the job's document in lower case, for an index to serve."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from unicodedata import normalize

SEARCHED = ("title", "topic", "prompt", "keywords", "outline", "subject", "name", "resumeId", "template")
"""The fields of payloads whose words count."""
MOST_WORDS = 24
"""Of one job: every word costs an entry of the index."""
MOST_CHARACTERS = 32
"""Of one word."""
READ_CHARACTERS = 2_000
"""Of one field."""


def words_of(payload: Mapping[str, Any]) -> list[str]:
    """The words of an order, each once."""
    found = (word for text in _texts(payload) for word in words(text))
    return [*_first(found, MOST_WORDS)]


def words(text: str) -> Iterator[str]:
    """The words of a text as they are kept: in lower case, the long ones shortened."""
    for word in re.findall(r"\w+", normalize("NFKC", text[:READ_CHARACTERS]).casefold()):
        yield word[:MOST_CHARACTERS]


def _texts(payload: Mapping[str, Any]) -> Iterator[str]:
    for name in SEARCHED:
        value = payload.get(name)
        yield from (text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str))


def _first(found: Iterable[str], most: int) -> Iterable[str]:
    seen: dict[str, None] = {}
    for word in found:
        seen[word] = None
        if len(seen) == most:
            break
    return seen
