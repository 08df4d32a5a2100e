"""Webhooks, told to a real receiver and verified by the reference library."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from jobs.document import Job
from jobs.errors import JobError
from jobs.life import Status
from jobs.store import store
from jobs.submit import Order, submit
from jobs.webhook_secrets import webhook_secret
from tests.jobs.jobs import document
from tests.site import Asked, Said, Site, running
from tests.tasks.attempts import attempt
from tests.tasks.conftest import StartWorker
from tests.workers import finished, wait_for

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def receiver(environment: Callable[..., None]) -> Iterator[Site]:
    environment(ALLOW_PRIVATE_URLS="on")
    with running() as site:
        yield site


def notice(url: str, parent: str | None = None) -> Job:
    payload = {
        "url": url,
        "type": "job.completed",
        "timestamp": "2026-01-15T10:30:00Z",
        "jobId": parent,
        "data": {"topic": "Bön"},
    }
    return submit(Order(kind="webhooks", payload=payload, user_id="ada"))


def verified(asked: Asked, user_id: str = "ada") -> Any:
    """The news, as its receiver takes it in."""
    return Webhook(webhook_secret(user_id)).verify(asked.body, asked.headers)


def log_of(job_id: str) -> list[tuple[int, int | None]]:
    job = store().get(job_id)
    assert job is not None
    return [(entry["attempt"], entry["status"]) for entry in job.deliveries]


def test_a_notice_is_signed_as_its_user_knows_it(receiver: Site) -> None:
    job = notice(receiver.url("/hook?a=b"))
    assert attempt(job).result == {"status": 200, "taken": True}
    (asked,) = receiver.asked
    assert (asked.method, asked.path, asked.headers["webhook-id"]) == ("POST", "/hook?a=b", job.id)
    assert verified(asked) == {"type": "job.completed", "timestamp": "2026-01-15T10:30:00Z", "data": {"topic": "Bön"}}
    with pytest.raises(WebhookVerificationError):
        verified(asked, "grace")


@pytest.mark.parametrize(
    ("said", "is_retryable", "waits"),
    [
        (Said(500), True, None),
        (Said(408), True, None),
        (Said(429, {"Retry-After": "17"}), True, 17),
        (Said(503, {"Retry-After": "99999999"}), True, 86_400),
        (Said(404), False, None),
        (Said(307, {"Location": "/elsewhere"}), False, None),
    ],
)
def test_an_answer_decides_whether_the_receiver_is_told_again(
    receiver: Site, database: Any, said: Said, is_retryable: bool, waits: float | None
) -> None:
    database.jobs.insert_one(parent := document("completed"))
    receiver.answer = lambda asked: said
    with pytest.raises(JobError, match=f"HTTP {said.status}") as raised:
        attempt(notice(receiver.url(), parent["_id"]))
    assert (raised.value.retryable, raised.value.retry_after_seconds) == (is_retryable, waits)
    assert log_of(parent["_id"]) == [(1, said.status)]
    assert len(receiver.asked) == 1, "no redirect is followed"


def test_a_receiver_that_is_gone_is_told_no_more_and_nothing_failed(receiver: Site) -> None:
    receiver.answer = lambda asked: Said(410)
    assert attempt(notice(receiver.url())).result == {"status": 410, "taken": False}


def test_an_address_inside_is_not_told(receiver: Site, database: Any, environment: Callable[..., None]) -> None:
    environment(ALLOW_PRIVATE_URLS=None)
    with pytest.raises(JobError, match=r"url: it leads to 127\.0\.0\.1") as raised:
        attempt(notice(receiver.url()))
    assert (raised.value.code, raised.value.retryable, receiver.asked) == ("invalid_payload", False, [])


def test_a_name_that_leads_inside_is_not_told_and_the_log_says_why(
    receiver: Site, database: Any, environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(ALLOW_PRIVATE_URLS=None)
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", receiver.port))]
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **named: found if host == "hook.example" else real(host, *rest, **named)
    )
    database.jobs.insert_one(parent := document("completed"))
    with pytest.raises(JobError) as raised:
        attempt(notice(receiver.url(host="hook.example"), parent["_id"]))
    assert (raised.value.code, raised.value.retryable, receiver.asked) == ("invalid_payload", False, [])
    job = store().get(parent["_id"])
    assert job is not None
    assert "it leads to 127.0.0.1" in job.deliveries[0]["error"]


def test_the_log_keeps_the_last_twenty_tries_each_once(receiver: Site, database: Any) -> None:
    database.jobs.insert_one(parent := document("completed"))
    for _ in range(22):
        attempt(notice(receiver.url(), parent["_id"]))
    job = store().get(parent["_id"])
    assert job is not None
    assert len({entry["webhook_id"] for entry in job.deliveries}) == 20
    assert job.deliveries[-1]["webhook_id"] == receiver.asked[-1].headers["webhook-id"]


def test_a_users_log_is_not_another_users_to_write(receiver: Site, database: Any) -> None:
    database.jobs.insert_one(parent := document("completed", user_id="grace"))
    attempt(notice(receiver.url(), parent["_id"]))
    assert log_of(parent["_id"]) == []


def test_the_news_of_an_article_come_to_a_receiver_that_fails_at_first_and_again_after_a_kill(
    receiver: Site, start_worker: StartWorker
) -> None:
    answers = iter([Said(500, {"Retry-After": "1"})])
    receiver.answer = lambda asked: next(answers, Said(204))
    dying = start_worker(
        "articles", "webhooks", app="devstack.faulty", PRESSROOM_FAULTS="kill:generated:2", LEASE_SECONDS="3"
    )  # the first is the article's
    job = submit(Order(kind="articles", payload={"topic": "Bees", "wordCount": 60}, user_id="ada", callback_url=receiver.url()))
    wait_for(lambda: dying.process.poll() is not None, "the worker to die between the request and its record", dying)
    assert dying.process.returncode == -signal.SIGKILL
    worker = start_worker("webhooks", LEASE_SECONDS="3")
    wait_for(lambda: len(receiver.asked) == 3, "the receiver to be told again", worker)
    failed, lost, kept = receiver.asked
    webhook = finished(kept.headers["webhook-id"], worker)
    assert (webhook.status, webhook.attempts, webhook.crashes) == (Status.COMPLETED, 2, 1)
    assert failed.headers["webhook-id"] == lost.headers["webhook-id"] == webhook.id
    assert failed.body == lost.body == kept.body
    news = verified(kept)
    assert (news["type"], news["data"]["jobId"], news["data"]["status"]) == ("job.completed", job.id, "completed")
    assert log_of(job.id) == [(1, 500), (2, 204)]
    assert news["data"]["links"]["result"] == f"/api/jobs/{job.id}/result"
