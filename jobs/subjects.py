"""What an order is about, in a line: for pages and mails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

NAMES_A_THING = ("topic", "prompt", "subject", "title", "resumeId", "to", "videoUrl", "mediaUrl", "url")
"""Fields of payloads that say what the job is about, the best first."""
MOST_CHARACTERS = 140


def subject_of(payload: Mapping[str, Any]) -> str | None:
    """What the payload names, a resume's owner, or the words that it lists; None where there is nothing of the sort."""
    for name in NAMES_A_THING:
        if isinstance(found := payload.get(name), str) and found.strip():
            return on_a_line(_file_at(found) if name.lower().endswith("url") else found)
    if named := _person(payload):
        return on_a_line(named)
    for listed in (found for found in payload.values() if isinstance(found, list)):
        if listed and all(isinstance(each, str) for each in listed):
            return on_a_line(", ".join(listed))
    return None


def on_a_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MOST_CHARACTERS else line[: MOST_CHARACTERS - 1].rstrip() + "…"


def _file_at(address: str) -> str:
    """The name of the file that an address leads to; where it has none, the address."""
    return unquote(urlsplit(address).path.rpartition("/")[2]) or address


def _person(payload: Mapping[str, Any]) -> str:
    """Whom a resume in the order is of."""
    basics = (payload.get("resume") or payload.get("data") or {}).get("basics") or {}
    return str(basics.get("name") or "").strip()
