"""Submitting: the job is recorded, its message sent and named; SQS being away costs nothing but the message."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest

from jobs.database import DatabaseUnavailable
from jobs.document import Job
from jobs.life import Status
from jobs.naming import naming
from jobs.sending import TENS_AT_ONCE, Rest
from jobs.store import store
from jobs.submit import Order, submit, submit_many
from queues.clients import sqs
from queues.queue import queue_for
from tests.conftest import NOWHERE
from tests.sqs import SqsProxy

ORDER = Order(kind="articles", payload={"mode": "topic", "topic": "Bees"}, user_id="ada")


def received(kind: str, most: int = 10) -> list[Any]:
    return queue_for(kind).receive(most, visibility_seconds=30, wait_seconds=0)


def test_a_submitted_job_is_recorded_sent_and_its_message_named(database: Any, queues: Any) -> None:
    job = submit(ORDER)
    (message,) = received("articles")
    body = json.loads(message.body)
    assert (body["jobId"], body["userId"], body["type"], body["version"]) == (job.id, "ada", "articles", "1")
    assert message.attributes == {"JobType": "articles", "Priority": "normal"}
    assert job.message_id == message.message_id
    stored = store().get(job.id)
    assert stored is not None
    assert (stored.status, stored.message_id, stored.dispatch["n"]) == (Status.QUEUED, message.message_id, 1)


def test_no_payload_travels_through_the_queue(database: Any, queues: Any) -> None:
    submit(ORDER)
    assert "Bees" not in received("articles")[0].body


def test_many_jobs_are_sent_in_tens_in_their_order(database: Any, queues: Any) -> None:
    orders = [Order(kind="articles", payload={"topic": str(n)}, user_id="ada") for n in range(25)]
    jobs = submit_many(orders)
    assert [job.payload["topic"] for job in jobs] == [str(n) for n in range(25)]
    assert all(job.message_id for job in jobs)
    ids = {json.loads(message.body)["jobId"] for _ in range(3) for message in received("articles")}
    assert ids == {job.id for job in jobs}


def test_of_many_orders_those_that_were_given_before_are_left_as_they_are(database: Any, queues: Any) -> None:
    def order(job_id: str, topic: str) -> Order:
        return Order(kind="articles", payload={"topic": topic}, user_id="ada", job_id=job_id, expires_in_seconds=60)

    submit_many([order("one", "first"), order("two", "first")])
    jobs = submit_many([order("three", "second"), order("one", "second"), order("four", "second"), order("four", "second")])
    assert [(job.id, job.payload["topic"]) for job in jobs] == [
        *(("three", "second"), ("one", "first"), ("four", "second"), ("four", "second"))
    ]
    assert database.jobs.count_documents({}) == 4
    assert {(job.message_id is not None, job.version) for job in map(store().get, ["one", "two", "three", "four"]) if job} == {
        (True, 2)
    }
    three = store().get("three")
    assert three is not None
    assert three.expires_at is not None
    assert (three.expires_at - three.created_at).total_seconds() == 60


def test_whoever_answers_users_has_messages_named_behind_their_backs(database: Any, queues: Any) -> None:
    naming().start()
    jobs = [submit(ORDER) for _ in range(3)]
    assert naming().flush(30)
    assert [stored.message_id for job in jobs if (stored := store().get(job.id))] == [job.message_id for job in jobs]


def test_jobs_that_many_threads_submit_at_once_share_requests_and_each_gets_its_own(
    database: Any, queues: Any, sqs_proxy: SqsProxy
) -> None:
    submit(ORDER)
    before = sqs_proxy.counts["SendMessage"] + sqs_proxy.counts["SendMessageBatch"]
    begin = Barrier(40)

    def order(n: int) -> Job:
        begin.wait(30)
        return submit(replace(ORDER, payload={"topic": f"Bees {n}"}))

    with ThreadPoolExecutor(40) as pool:
        jobs = [*pool.map(order, range(40))]
    assert [job.payload["topic"] for job in jobs] == [f"Bees {n}" for n in range(40)]
    assert sqs_proxy.counts["SendMessage"] + sqs_proxy.counts["SendMessageBatch"] - before < 40
    messages = {message.message_id: message.body for _ in range(9) for message in received("articles")}
    assert all(json.loads(messages[job.message_id or ""])["jobId"] == job.id for job in jobs)
    assert database.jobs.count_documents({"message_id": {"$in": [job.message_id for job in jobs]}}) == 40


def test_an_order_that_many_threads_give_at_once_is_one_job_with_one_message(database: Any, queues: Any) -> None:
    begin = Barrier(20)

    def order(n: int) -> str:
        begin.wait(30)
        return submit(replace(ORDER, job_id="one")).id

    with ThreadPoolExecutor(20) as pool:
        assert {*pool.map(order, range(20))} == {"one"}
    assert database.jobs.count_documents({}) == 1
    assert len(received("articles")) == 1


def test_an_order_that_cant_be_kept_is_its_own_fault_among_those_that_are_given_with_it(database: Any, queues: Any) -> None:
    begin = Barrier(12)

    def order(n: int) -> str:
        begin.wait(30)
        try:
            return submit(replace(ORDER, payload={"n": 2**70 if n % 4 == 0 else n})).message_id or "unsent"
        except OverflowError:
            return "refused"

    with ThreadPoolExecutor(12) as pool:
        said = [*pool.map(order, range(12))]
    assert [n for n, each in enumerate(said) if each == "refused"] == [0, 4, 8]
    assert "unsent" not in said
    assert database.jobs.count_documents({}) == len({*said}) - 1 == 9


def test_an_order_with_an_id_is_one_job_however_often_it_is_given(database: Any, queues: Any) -> None:
    order = Order(kind="articles", payload={"topic": "Bees"}, user_id="ada", job_id="one")
    first, second = submit(order), submit(order)
    assert first.id == second.id == "one"
    assert database.jobs.count_documents({}) == 1
    assert len(received("articles")) == 1


def test_with_sqs_away_the_job_is_accepted_without_a_message(database: Any, environment: Any) -> None:
    environment(AWS_ENDPOINT_URL=f"http://{NOWHERE}")
    job = submit(ORDER)
    stored = store().get(job.id)
    assert stored is not None
    assert (stored.status, stored.message_id) == (Status.QUEUED, None)
    assert job.message_id is None


def test_after_a_failed_send_jobs_are_accepted_without_waiting_for_sqs(
    database: Any, queues: Any, sqs_proxy: SqsProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    lasting = Rest(600)  # more than the submissions take
    monkeypatch.setattr("jobs.sending.rest", lambda: lasting)
    queue_for("articles").attributes()  # the queue's URL is known
    sqs_proxy.throttle()
    before = sum(sqs_proxy.counts.values())
    jobs = [submit(ORDER) for _ in range(20)] + submit_many([ORDER] * 20)
    assert not any(job.message_id for job in jobs)
    assert sum(sqs_proxy.counts.values()) == before + 1
    assert database.jobs.count_documents({"message_id": None, "dispatch.n": 1}) == 40


def test_of_many_messages_no_more_are_tried_once_one_request_failed(database: Any, queues: Any, sqs_proxy: SqsProxy) -> None:
    queue_for("articles").attributes()  # the queue's URL is known
    sqs_proxy.fail()
    before = sum(sqs_proxy.counts.values())
    assert not any(job.message_id for job in submit_many([ORDER] * 200))
    assert sum(sqs_proxy.counts.values()) <= before + TENS_AT_ONCE


def test_of_many_messages_those_that_were_sent_are_named_though_others_were_not(
    database: Any, queues: Any, sqs_proxy: SqsProxy
) -> None:
    sqs_proxy.fail(actions=["SendMessageBatch"], times=1)
    jobs = submit_many([ORDER] * 100)
    named = {job.message_id for job in jobs} - {None}
    assert len(named) <= 90
    assert {each["message_id"] for each in database.jobs.find()} - {None} == named
    assert {message.message_id for _ in range(20) for message in received("articles")} == named


def test_a_queue_that_is_missing_says_nothing_about_the_others(database: Any, queues: dict[str, str]) -> None:
    sqs().delete_queue(QueueUrl=queues[queue_for("articles").name])
    article, image = submit_many([ORDER, Order(kind="images", payload={}, user_id="ada")])
    assert (article.message_id, image.message_id is not None) == (None, True)


def test_while_sending_rests_nobody_tries_and_then_one_does() -> None:
    now = 0.0
    rest = Rest(5, clock=lambda: now)
    rest.ended(is_well=False)
    assert not rest.allows()
    now = 5.0
    assert [rest.allows() for _ in range(3)] == [True, False, False]
    now = 10.0
    assert rest.allows(), "the one that tried was never heard of again"
    rest.ended(is_well=True)
    assert [rest.allows() for _ in range(3)] == [True, True, True]


def test_with_mongodb_away_nothing_is_accepted_and_the_error_says_so(environment: Any) -> None:
    environment(MONGODB_URI=f"mongodb://{NOWHERE}")
    with pytest.raises(DatabaseUnavailable):
        submit(ORDER)
