"""What follows the end of a job: written with the end, whoever makes it, and performed once for each end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.document import Job
from jobs.effects import perform_pending_of
from jobs.life import Status
from jobs.store import store
from jobs.submit import Order, submit
from tasks.kinds import payload_model
from tests.jobs.jobs import TOKEN, document
from tests.jobs.waiting import PAST, read

pytestmark = pytest.mark.usefixtures("database")

HOOK = {"url": "https://hook.example/jobs"}
RUNS_CANCELLED = {"status": "processing", "cancel_requested": PAST}
ENDS: dict[str, tuple[dict[str, Any], Callable[[str], object], str]] = {
    "complete": (
        {"status": "processing"},
        lambda i: store().complete(i, TOKEN, result={"content_id": "c"}, usage={}),
        "completed",
    ),
    "fail": (
        {"status": "processing"},
        lambda i: store().fail(i, TOKEN, code="provider_refused", message="No bees.", retryable=False),
        "failed",
    ),
    "give_up": ({"attempts": 3}, lambda i: store().give_up(i), "failed"),
    "give_up after crashes": (
        {"status": "processing", "crashes": 4, "lease_seconds": -1},
        lambda i: store().give_up(i),
        "failed",
    ),
    "expire": ({"expires_at": PAST}, lambda i: store().expire(i), "expired"),
    "request_cancel": ({}, lambda i: store().request_cancel(i, "ada"), "cancelled"),
    "cancel": (RUNS_CANCELLED, lambda i: store().cancel(i, TOKEN), "cancelled"),
    "park": (RUNS_CANCELLED, lambda i: store().park(i, TOKEN, reason="r", seconds=1), "cancelled"),
    "recover": (RUNS_CANCELLED | {"lease_seconds": -1}, lambda i: store().recover(i), "cancelled"),
}
UNENDED: dict[str, Callable[[str], object]] = {
    "park": lambda i: store().park(i, TOKEN, reason="r", seconds=1),
    "retry_later": lambda i: store().retry_later(i, TOKEN, seconds=1, code="internal", message="m"),
    "request_cancel": lambda i: store().request_cancel(i, "ada"),
}


def put(database: Any, **fields: Any) -> str:
    made = document(fields.pop("status", "queued"), **fields)
    database.jobs.insert_one(made)
    return str(made["_id"])


def followers(database: Any) -> list[Job]:
    return [Job.from_document(found) for found in database.jobs.find({"kind": {"$in": ["webhooks", "emails"]}})]


@pytest.mark.parametrize("end", ENDS)
def test_every_end_of_a_job_is_told_to_the_address_of_its_order(end: str, database: Any) -> None:
    fields, write, status = ENDS[end]
    job_id = put(database, callback=HOOK, **fields)
    assert write(job_id)
    perform_pending_of(job_id)
    assert not [effect for effect in read(job_id).effects if effect["does"] == "follow"]
    (webhook,) = followers(database)
    assert (webhook.kind, webhook.user_id, webhook.payload["url"]) == ("webhooks", "ada", HOOK["url"])
    assert webhook.payload["type"] == f"job.{status}"
    assert webhook.payload["data"]["status"] == status
    assert webhook.payload["timestamp"] == webhook.payload["data"]["finishedAt"]


def test_ends_are_counted_where_that_is_wanted(database: Any, environment: Callable[..., None]) -> None:
    environment(JOB_ANALYTICS="on")
    job_id = put(database, status="processing")
    assert store().fail(job_id, TOKEN, code="provider_refused", message="No bees.", retryable=False)
    perform_pending_of(job_id)
    (counting,) = [Job.from_document(found) for found in database.jobs.find({"kind": "analytics"})]
    ended = read(job_id).finished_at
    assert ended is not None
    assert counting.payload["events"] == [{"event": "user_action", "subject": "articles.failed", "at": ended.isoformat()}]
    payload_model("analytics").model_validate(counting.payload)


@pytest.mark.parametrize("verb", UNENDED)
def test_what_does_not_end_the_job_is_not_told(verb: str, database: Any) -> None:
    job_id = put(database, callback=HOOK, status="processing")
    assert UNENDED[verb](job_id)
    assert read(job_id).effects == []


def test_an_end_is_followed_once_however_often_it_is_performed_and_the_next_end_again(database: Any) -> None:
    job_id = put(database, callback=HOOK, status="processing")
    store().fail(job_id, TOKEN, code="provider_refused", message="No bees.", retryable=False)
    pending = [effect for effect in read(job_id).effects if effect["does"] == "follow"]
    for _ in range(2):  # whoever dies before it is struck out leaves it to the next
        perform_pending_of(job_id)
        database.jobs.update_one({"_id": job_id}, {"$set": {"effects": pending}})
    store().requeue(job_id, by="test")
    assert read(job_id).effects == pending
    perform_pending_of(job_id)  # after the job was started over
    assert [webhook.payload["data"]["error"]["message"] for webhook in followers(database)] == ["No bees."]
    store().request_cancel(job_id, "ada")
    perform_pending_of(job_id)
    assert sorted(webhook.payload["type"] for webhook in followers(database)) == ["job.cancelled", "job.failed"]


def test_the_follower_tells_of_the_job_as_it_was_at_its_end(database: Any) -> None:
    job_id = put(database, callback=HOOK, status="processing")
    store().fail(job_id, TOKEN, code="provider_refused", message="No bees.", retryable=False)
    store().requeue(job_id, by="test")
    perform_pending_of(job_id)
    (webhook,) = followers(database)
    told = webhook.payload["data"]
    assert (told["status"], told["attempts"], told["error"]["code"]) == ("failed", 1, "provider_refused")
    assert told["finishedAt"]
    assert told["links"]["retry"]


def test_a_mail_follows_only_what_was_completed_for_somebody_with_an_address(database: Any, environment: Any) -> None:
    environment(PUBLIC_URL="https://press.example")
    payload = {"topic": "Bees\r\nBcc: eve@example.org", "userEmail": "ada@example.org"}
    done, failed = (put(database, payload=payload, status="processing") for _ in range(2))
    silent = put(database, status="processing")
    store().fail(failed, TOKEN, code="internal", message="m", retryable=False)
    for job_id in (done, silent):
        store().complete(job_id, TOKEN, result={}, usage={})
    for job_id in (done, failed, silent):
        perform_pending_of(job_id)
    (mail,) = followers(database)
    assert (mail.kind, mail.payload["to"], mail.payload["template"]) == ("emails", "ada@example.org", "completed")
    assert mail.payload["data"]["url"] == f"https://press.example/jobs/{done}"
    assert mail.payload["data"]["subject"] == "Bees Bcc: eve@example.org"


@pytest.mark.parametrize(
    ("payload", "subject"),
    [
        ({"videoUrl": "https://example.org/holiday%20at%20sea.mov?key=secret"}, "holiday at sea.mov"),
        ({"resume": {"basics": {"name": "Ada Lovelace"}}}, "Ada Lovelace"),
        ({}, None),
    ],
)
def test_a_mail_says_what_is_ready(payload: Any, subject: str | None, database: Any) -> None:
    job_id = put(database, kind="videos", payload=payload | {"userEmail": "ada@example.org"}, status="processing")
    store().complete(job_id, TOKEN, result={}, usage={})
    perform_pending_of(job_id)
    (mail,) = followers(database)
    assert mail.payload["data"]["subject"] == subject


def test_nothing_follows_the_end_of_an_internal_job(database: Any) -> None:
    payload = {"userEmail": "ada@example.org"}
    job_id = put(database, kind="webhooks", callback=HOOK, payload=payload, status="processing")
    store().complete(job_id, TOKEN, result={}, usage={})
    assert read(job_id).effects == []


def test_a_follower_that_this_release_does_not_know_is_left_to_one_that_does(database: Any) -> None:
    effect = {"key": "pigeon:3", "does": "follow", "subscriber": "pigeon", "ended": {}}
    job_id = put(database, status="completed", effects=[effect])
    perform_pending_of(job_id)
    assert read(job_id).effects == [effect]


@pytest.mark.usefixtures("queues")
def test_a_capped_users_webhook_takes_no_place_and_waits_for_none(environment: Any, database: Any) -> None:
    environment(USER_RUNNING_JOBS="1")
    first = submit(Order(kind="articles", payload={"topic": "Bees"}, user_id="ada"))
    news = Order(kind="webhooks", payload={}, user_id="ada")
    assert submit(news).message_id
    assert submit(Order(kind="articles", payload={"topic": "Bees"}, user_id="ada")).message_id is None
    assert submit(news).message_id
    store().request_cancel(first.id, "ada")
    perform_pending_of(first.id)
    assert database.jobs.count_documents({"kind": "articles", "status": Status.QUEUED.value, "message_id": {"$ne": None}}) == 1
