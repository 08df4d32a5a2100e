"""Each verb against each status: the store's writes hold to the table of transitions, and the table is the one on paper."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.dispatch import dispatches
from jobs.document import Job
from jobs.life import TRANSITIONS, Status
from jobs.spending import spending
from jobs.store import JobStore, store
from jobs.webhook_log import webhook_log
from tests.jobs.jobs import TOKEN, document

PAST = datetime.now(UTC) - timedelta(minutes=1)

Verb = Callable[[JobStore, str], object]


def read(store: JobStore, job_id: str) -> Job:
    job = store.get(job_id)
    assert job is not None
    return job


def used(job: Job) -> None:
    spending().enter(f"{job.id}:1", job, "local", "", {"images": 1})
    spending().account(job.id)


def noted(job_id: str) -> None:
    told = {"webhook_id": "w", "attempt": 1, "event": "job.completed", "status": 200, "seconds": 0.1, "error": None}
    webhook_log().note(job_id, "ada", **told)  # type: ignore[arg-type] # of several types


# How each verb is called, and the fields that let it succeed wherever its status allows it.
VERBS: dict[str, tuple[Verb, dict[str, Any]]] = {
    "take": (lambda s, i: dispatches().take([read(s, i)], "test"), {}),
    "wait_for_place": (lambda s, i: dispatches().wait_for_place([read(s, i)]), {}),
    "mark_sent": (lambda s, i: s.mark_sent({i: "m"}, n=1), {}),
    "claim": (lambda s, i: s.claim(i, kind="articles", token="new", worker="w", message_id="m"), {}),
    "renew": (lambda s, i: s.renew([TOKEN]), {}),
    "progress": (lambda s, i: s.progress(i, TOKEN, percent=5, stage="s"), {}),
    "checkpoint": (lambda s, i: s.checkpoint(i, TOKEN, {"a": 1}), {}),
    "complete": (lambda s, i: s.complete(i, TOKEN, result={"r": 1}, usage={}), {}),
    "fail": (lambda s, i: s.fail(i, TOKEN, code="internal", message="m", retryable=False), {}),
    "retry_later": (lambda s, i: s.retry_later(i, TOKEN, seconds=5, code="internal", message="m"), {}),
    "park": (lambda s, i: s.park(i, TOKEN, reason="user_cap", seconds=None), {}),
    "hand_back": (lambda s, i: s.hand_back(i, TOKEN), {}),
    "recover": (lambda s, i: s.recover(i), {"lease_seconds": -1}),
    "give_up": (lambda s, i: s.give_up(i), {"attempts": 3, "crashes": 4, "lease_seconds": -1}),
    "forget_message": (lambda s, i: s.forget_message(i, "m"), {"message_id": "m"}),
    "request_cancel": (lambda s, i: s.request_cancel(i, "ada"), {}),
    "cancel": (lambda s, i: s.cancel(i, None), {"cancel_requested": PAST, "lease_seconds": -1}),
    "expire": (lambda s, i: s.expire(i), {"expires_at": PAST}),
    "requeue": (lambda s, i: s.requeue(i, by="test"), {}),
    "dismiss": (lambda s, i: s.dismiss(i, failed_at=read(s, i).finished_at or PAST, operator="op"), {}),
    "effect_done": (lambda s, i: s.effect_done(i, "k"), {"effects": [{"key": "k"}]}),
    "note_delivery": (lambda s, i: noted(i), {}),
    "account": (lambda s, i: used(read(s, i)), {}),
}

ALLOWED = {
    "take": "scheduled queued retrying",
    "wait_for_place": "queued retrying",
    "mark_sent": "queued retrying",
    "claim": "queued retrying processing",
    "renew": "processing",
    "progress": "processing",
    "checkpoint": "processing",
    "complete": "processing",
    "fail": "processing",
    "retry_later": "processing",
    "park": "processing",
    "hand_back": "processing",
    "recover": "processing",
    "give_up": "queued retrying processing",
    "forget_message": "scheduled queued retrying processing",
    "request_cancel": "scheduled queued retrying processing",
    "cancel": "scheduled queued retrying processing",
    "expire": "scheduled queued",
    "requeue": "failed expired cancelled",
    "dismiss": "failed",
    "effect_done": "scheduled queued retrying processing completed failed cancelled expired",
    "note_delivery": "scheduled queued retrying processing completed failed cancelled expired",
    "account": "scheduled queued retrying processing completed failed cancelled expired",
}
LEADS_TO = {
    "claim": "processing",
    "complete": "completed",
    "fail": "failed",
    "retry_later": "retrying",
    "park": "queued",
    "hand_back": "queued",
    "recover": "queued",
    "give_up": "failed",
    "cancel": "cancelled",
    "expire": "expired",
    "requeue": "queued",
}


def test_the_verbs_of_these_tests_are_those_of_the_table() -> None:
    assert VERBS.keys() == TRANSITIONS.keys() == ALLOWED.keys()


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("verb", list(VERBS))
def test_a_verb_moves_a_job_only_from_the_statuses_that_allow_it(verb: str, status: Status, database: Any) -> None:
    call, fields = VERBS[verb]
    if verb == "claim" and status is Status.PROCESSING:
        fields = {"lease_seconds": -1}  # only a lease that ran out can be taken over
    before = document(status, **fields) if status is Status.PROCESSING else document(status, **_without_lease(fields))
    database.jobs.insert_one(before)
    call(store(), before["_id"])
    after = database.jobs.find_one({"_id": before["_id"]})
    if status.value not in ALLOWED[verb].split():
        assert after == {**before, **_as_stored(before, after)}
        return
    assert after["status"] == _expected(verb, status)
    assert verb == "renew" or after["version"] == before["version"] + 1


def _expected(verb: str, status: Status) -> str:
    if verb == "request_cancel" and status is not Status.PROCESSING:
        return "cancelled"  # nobody runs it: it ends at once
    if verb == "take" and status is Status.SCHEDULED:
        return "queued"  # it is due
    return LEADS_TO.get(verb, status.value)


def _without_lease(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "lease_seconds"}


def _as_stored(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """MongoDB keeps times to the millisecond: compare those fields as they came back, if they differ by less."""
    stored = {}
    for name, value in before.items():
        found = after[name]
        if isinstance(value, datetime) and abs(found - value) < timedelta(milliseconds=1):
            stored[name] = found
        if isinstance(value, dict):
            stored[name] = value | _as_stored(value, found)
    return stored
