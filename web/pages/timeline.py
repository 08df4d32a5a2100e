"""A job's history as its user reads it: what happened when, and how long each attempt took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from web.pages.words import lasting

Entry = Mapping[str, Any]

TITLES: Mapping[str, str] = {
    "submit": "Accepted",
    "complete": "Done",
    "fail": "Failed",
    "retry_later": "Attempt {attempt} did not succeed",
    "park": "Put on hold",
    "hand_back": "Handed to another worker",
    "recover": "The worker died; the job waits for another one",
    "take_over": "The worker died; another one goes on",
    "give_up": "Given up",
    "request_cancel": "Cancel asked for",
    "cancel": "Cancelled",
    "expire": "Expired: it did not start in time",
    "requeue": "Started over",
    "dismiss": "An operator dropped its dead letters",
}
TONES: Mapping[str, str] = {
    "complete": "good",
    "fail": "bad",
    "give_up": "bad",
    "retry_later": "warn",
    "recover": "warn",
    "take_over": "warn",
    "park": "warn",
    "claim": "live",
}
ENDS_ATTEMPT = frozenset({"complete", "fail", "retry_later", "park", "hand_back", "recover", "give_up", "cancel"})
ENDS_OF_PARK: Mapping[str, str] = {
    "provider_outage": "the AI provider is down",
    "rate_limit": "the AI provider's rate limit",
    "user_cap": "your other jobs first",
    "spending_limit": "the spending limit",
}


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Something that happened to a job."""

    at: datetime
    title: str
    words: str = ""
    tone: str = "plain"
    seconds: float | None = None
    """Of an attempt's end: how long it took."""


def timeline(history: Sequence[Entry], *, is_cancelled: bool = False) -> list[Moment]:
    """The moments in their order. (Of a long history the store keeps only the end.)

    `is_cancelled`: of a job that was, which needs no second entry where nothing ran that had to be stopped.
    """
    moments: list[Moment] = []
    began: datetime | None = None
    for entry in history:
        ends = entry["verb"] in ENDS_ATTEMPT and began is not None
        seconds = (entry["at"] - began).total_seconds() if ends and began else None
        is_taken_over = entry["verb"] == "claim" and began is not None  # the attempt goes on
        moments.append(_moment({**entry, "verb": "take_over"} if is_taken_over else entry, seconds))
        if entry["verb"] == "claim":
            began = began or entry["at"]
        elif ends:
            began = None
    if is_cancelled and history and history[-1]["verb"] == "request_cancel":
        moments[-1] = replace(moments[-1], title=TITLES["cancel"])
    return moments


def _moment(entry: Entry, seconds: float | None) -> Moment:
    verb = entry["verb"]
    title = f"Attempt {entry['attempt']}" if verb == "claim" else TITLES.get(verb, verb.replace("_", " ").capitalize())
    return Moment(
        at=entry["at"],
        title=title.format(attempt=entry["attempt"]),
        words=" · ".join(_words(entry)),
        tone=TONES.get(verb, "plain"),
        seconds=seconds,
    )


def _words(entry: Entry) -> list[str]:
    found = []
    if worker := entry.get("worker"):
        found.append(f"on {worker}")
    if code := entry.get("code"):
        found.append(str(code).replace("_", " "))
    if (seconds := entry.get("seconds")) is not None:
        found.append(f"next try after {lasting(seconds)}")
    if reason := entry.get("reason"):
        found.append(ENDS_OF_PARK.get(reason, str(reason).replace("_", " ")))
    if by := entry.get("by"):
        found.append(f"by {by}")
    return found
