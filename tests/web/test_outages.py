"""The API while SQS or MongoDB is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from devstack.forwarder import Forwarder
from jobs import sending
from jobs.sending import Rest
from jobs.store import store
from queues.queue import Queue
from tests.sqs import SqsProxy
from tests.tasks.test_worker import host_and_port
from tests.workers import wait_for

ORDER = {"type": "articles", "payload": {"topic": "Bees"}}


@pytest.mark.parametrize(
    "break_it",
    [lambda sqs: sqs.refuse(), lambda sqs: sqs.hang(), lambda sqs: sqs.fail(503), lambda sqs: sqs.throttle()],
    ids=["refused", "time-outs", "5xx", "throttled"],
)
def test_with_sqs_away_jobs_are_accepted_and_only_the_first_waits_for_it(
    break_it: Callable[[SqsProxy], None], client: FlaskClient, sqs_proxy: SqsProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest = Rest(seconds=3_600)
    monkeypatch.setattr(sending, "rest", lambda: rest)
    assert client.post("/api/jobs", json=ORDER).get_json()["messageId"]  # the queue's address is known
    tries: list[int] = []
    send = Queue.send
    monkeypatch.setattr(Queue, "send", lambda queue, outgoing: tries.append(1) or send(queue, outgoing))
    break_it(sqs_proxy)
    for _ in range(2):
        answer = client.post("/api/jobs", json=ORDER)
        assert (answer.status_code, answer.get_json()["messageId"]) == (202, None)
        assert store().get(answer.get_json()["jobId"]) is not None
    assert len(tries) == 1


def test_a_job_is_accepted_where_only_the_answer_to_its_message_was_lost(client: FlaskClient, sqs_proxy: SqsProxy) -> None:
    sqs_proxy.lose_answers(actions={"SendMessage"}, times=1)
    answer = client.post("/api/jobs", json=ORDER)
    assert (answer.status_code, answer.get_json()["messageId"]) == (202, None)


def test_mongodb_cut_off_is_a_503_that_says_when_to_come_again_until_it_is_back(
    client: FlaskClient, mongodb: str, environment: Any
) -> None:
    with Forwarder(*host_and_port(mongodb)) as way:
        environment(MONGODB_URI=f"mongodb://{way.address}/?directConnection=true")
        assert client.post("/api/jobs", json=ORDER).status_code == 202
        way.cut()
        for answer in (client.post("/api/jobs", json=ORDER), client.get("/api/jobs")):
            assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
            assert int(answer.headers["Retry-After"]) > 0
        way.restore()
        wait_for(lambda: client.post("/api/jobs", json=ORDER).status_code == 202, "MongoDB to be found again")
