"""Orders that come by the queue or by Celery: from a message to a job, once, whatever dies or comes twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from celery import Celery

from devstack.ai_service import AiService
from devstack.forwarder import Forwarder
from jobs.document import Job
from jobs.life import Status
from jobs.store import store
from jobs.submit import Order, submit
from providers.requests import ArticleRequest
from queues.catalogue import kind_named
from queues.deliveries import Delete, Delivery, SetAside, Settlement
from queues.queue import Message, dead_letters_of, queue_for
from queues.steps import Step
from queues.wire import decode
from settings import CHECKOUT
from tasks import app
from tasks.intake import OrderRefused, take_in
from tasks.kinds import task_of
from tests.sqs import SqsProxy
from tests.tasks.conftest import StartWorker
from tests.tasks.test_worker import host_and_port
from tests.workers import PATIENCE_SECONDS, Worker, finished, wait_for

BEES = {"topic": "Bees", "wordCount": 60}
ORDER = {"type": "articles", "userId": "ada", "payload": BEES}


def take(body: dict[str, Any], message_id: str = "m-1", **message: Any) -> Settlement:
    """What becomes of a message with this body, as a worker's slot takes it in."""
    received = Message(message_id, receipt_handle="r", body=json.dumps(body), **message)
    said = decode(received.body, received.message_id)
    delivery = Delivery(queue_for("articles"), received, said, tag="1")
    return take_in(kind_named("articles"), ArticleRequest, delivery)


def job_of(job_id: str) -> Job:
    job = store().get(job_id)
    assert job is not None
    return job


def messages() -> list[str]:
    """The job ids of the messages in the queue; they stay invisible for a while."""
    found = queue_for("articles").receive(10, visibility_seconds=60, wait_seconds=0)
    return [json.loads(message.body)["jobId"] for message in found]


def reasons(kind: str = "articles") -> dict[str, str]:
    """Why what lies in the dead-letter queue is there, by its body."""
    found = dead_letters_of(kind).receive(10, visibility_seconds=0, wait_seconds=0)
    return {message.body: message.attributes.get("Reason", "") for message in found}


# -- a message becomes a job


def test_an_order_is_a_job_with_its_defaults_and_a_message_of_ours(database: Any, queues: Any) -> None:
    assert take(ORDER, "0ab1-2c") == Delete()
    job = job_of("0ab1-2c")
    assert (job.kind, job.user_id, job.status, job.priority) == ("articles", "ada", Status.QUEUED, "normal")
    assert job.payload == ArticleRequest(topic="Bees", word_count=60).model_dump(mode="json", by_alias=True)
    assert job.message_id
    assert messages() == ["0ab1-2c"]


def test_an_order_that_comes_again_changes_nothing(database: Any, queues: Any) -> None:
    for _ in range(3):
        assert take(ORDER | {"jobId": "mine"}) == Delete()
    assert database.jobs.count_documents({}) == 1
    assert messages() == ["mine"]


def test_an_order_of_high_priority_says_so_in_its_attribute(database: Any, queues: Any) -> None:
    assert take(ORDER | {"jobId": "soon"}, attributes={"Priority": "high"}) == Delete()
    assert job_of("soon").priority == "high"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"payload": {"topic": "Ants"}}, "field jobId: there is a job mine with another payload"),
        ({"userId": "bob"}, "field jobId: another order has the id mine"),
    ],
)
def test_an_id_that_another_order_has_is_set_aside_and_that_order_is_untouched(
    change: dict[str, Any], says: str, database: Any, queues: Any
) -> None:
    take(ORDER | {"jobId": "mine"})
    before = database.jobs.find_one()
    settled = take(ORDER | {"jobId": "mine"} | change, "m-2")
    assert isinstance(settled, SetAside)
    assert says in settled.reason
    assert database.jobs.find_one() == before


def test_the_same_order_is_known_again_by_a_release_with_other_defaults(database: Any, queues: Any) -> None:
    take(ORDER | {"jobId": "mine"})
    database.jobs.update_one({"_id": "mine"}, {"$unset": {"payload.tone": ""}})  # as if there had been no such field then
    assert take(ORDER | {"jobId": "mine"}) == Delete()


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ({}, "field payload: topic is missing: mode 'topic' needs it"),
        ({"topic": "Bees", "wordCount": 7}, "field payload.wordCount is 7: input should be greater than or equal to 50"),
        ({"topic": "Bees", "wordcount": 70}, "field payload.wordcount is 70: extra inputs are not permitted"),
        ({"topic": ["Bees"]}, "field payload.topic: input should be a valid string"),
        ({"topic": "x" * 400}, "string should have at most 300 characters"),
        ({"topic": "Bees", "tone": "\ud800"}, "field payload.tone"),
    ],
)
def test_a_payload_that_its_kind_refuses_makes_no_job_and_is_set_aside_naming_the_field(
    payload: dict[str, Any], says: str, database: Any, queues: Any
) -> None:
    settled = take(ORDER | {"payload": payload, "jobId": "mine"})
    assert isinstance(settled, SetAside)
    assert says in settled.reason
    assert settled.reason.endswith("Correct it and send it again.")
    assert database.jobs.count_documents({}) == 0
    assert take(ORDER | {"jobId": "mine"}) == Delete()  # corrected, under the same id


def test_an_order_is_taken_in_while_sqs_is_away_and_waits_for_the_relay(
    database: Any, queues: Any, sqs_proxy: SqsProxy
) -> None:
    sqs_proxy.fail(actions=["SendMessage"])
    assert take(ORDER | {"jobId": "mine"}) == Delete()
    assert (job_of("mine").status, job_of("mine").message_id) == (Status.QUEUED, None)


# -- with real workers


def raw(queue: str, body: dict[str, Any]) -> str:
    """Send as anybody does who knows only the queue's URL; SQS's id of the message."""
    client = boto3.client("sqs")
    url = client.get_queue_url(QueueName=os.environ["QUEUE_PREFIX"] + queue)["QueueUrl"]
    return str(client.send_message(QueueUrl=url, MessageBody=json.dumps(body))["MessageId"])


def test_json_sent_by_boto3_alone_is_done(start_worker: StartWorker) -> None:
    worker = start_worker("articles")
    job = finished(wait_for_job(raw("articles", ORDER), worker), worker)
    assert (job.status, job.user_id) == (Status.COMPLETED, "ada")
    wait_for(lambda: queue_for("articles").count() == 0, "the queue to be empty", worker)


def wait_for_job(job_id: str, worker: Worker) -> str:
    wait_for(lambda: store().get(job_id), f"job {job_id}", worker)
    return job_id


@pytest.mark.long
def test_an_order_delivered_twice_each_time_is_done_once(start_worker: StartWorker, sqs_proxy: SqsProxy, database: Any) -> None:
    with AiService() as service:
        sqs_proxy.duplicate(every=1)
        worker = start_worker("articles", AI_SERVICE_URL=service.address)
        sent = [raw("articles", ORDER | extra) for extra in ({}, {"jobId": "mine"}, {"jobId": "mine"})]
        for job_id in (sent[0], "mine"):
            assert finished(wait_for_job(job_id, worker), worker).status is Status.COMPLETED
        wait_for(lambda: queue_for("articles").count() == 0, "the queue to be empty", worker)
        assert len(service.received("/api/generation/topic")) == 2
    assert database.jobs.count_documents({}) == 2
    assert database.generated_content.count_documents({}) == 2


@pytest.mark.long
@pytest.mark.parametrize("step", [Step.RECEIVED, Step.ARRIVED, Step.DISPATCHED, Step.SENT, Step.SETTLED, Step.ACKNOWLEDGED])
def test_an_order_whose_worker_is_killed_at_any_line_is_done_once(
    step: Step, start_worker: StartWorker, tmp_path: Path, database: Any
) -> None:
    with AiService() as service:
        variables: dict[str, Any] = {"AI_SERVICE_URL": service.address, "LEASE_SECONDS": "3"}
        faults: dict[str, Any] = {"PRESSROOM_FAULTS": f"kill:{step}:job=mine"}
        doomed = Worker(tmp_path / "doomed.log", "articles", app="devstack.faulty", **variables, **faults).wait_until_ready()
        raw("articles", ORDER | {"jobId": "mine"})
        assert doomed.process.wait(PATIENCE_SECONDS) == -9, doomed.log
        worker = start_worker("articles", **variables)
        assert finished(wait_for_job("mine", worker), worker).status is Status.COMPLETED
        wait_for(lambda: queue_for("articles").count() == 0, "the queue to be empty", worker)
        assert service.generations == 1  # a kill in the middle of the call has it asked again, under one key
    assert database.jobs.count_documents({}) == 1


def test_what_can_be_no_job_is_a_dead_letter_as_it_was_sent_with_the_reason(start_worker: StartWorker) -> None:
    worker = start_worker("images")
    wrong_kind, wrong_payload = ORDER | {"jobId": "a"}, {"type": "images", "userId": "ada", "payload": {"size": "64x64"}}
    raw("images", wrong_kind)
    raw("images", wrong_payload)
    found = wait_for(lambda: said if len(said := reasons("images")) == 2 else None, "the dead letters", worker)
    assert found == {
        json.dumps(wrong_kind): "field type is 'articles', but this is the queue of images",
        json.dumps(wrong_payload): "field payload.prompt: field required. Correct it and send it again.",
    }


@pytest.mark.long
def test_an_order_waits_for_mongodb_and_is_done_once_it_is_back(start_worker: StartWorker, mongodb: str) -> None:
    with Forwarder(*host_and_port(mongodb)) as way:
        uri = f"mongodb://{way.address}/?directConnection=true"
        worker = start_worker("articles", MONGODB_URI=uri, LEASE_SECONDS="3")
        way.cut()
        raw("articles", ORDER | {"jobId": "mine"})
        wait_for(lambda: "MongoDB is away; waiting for it" in worker.log, "the worker to notice", worker)
        assert store().get("mine") is None
        way.restore()
        assert finished(wait_for_job("mine", worker), worker).status is Status.COMPLETED


# -- Celery's clients


@pytest.mark.parametrize("in_base64", [True, False], ids=["base64", "plain"])
def test_a_task_sent_by_a_stock_celery_client_is_a_job_under_its_id(
    in_base64: bool, start_worker: StartWorker, database: Any
) -> None:
    options = {"queue_name_prefix": os.environ["QUEUE_PREFIX"], "sqs_base64_encoding": in_base64}
    with Celery("stock", broker="sqs://", set_as_current=False) as stock:
        stock.conf.broker_transport_options = options
        sent = stock.send_task("articles", [BEES], {"userId": "ada"}, queue="articles")
    worker = start_worker("articles")
    job = finished(wait_for_job(str(sent.id), worker), worker)
    assert (job.status, job.user_id) == (Status.COMPLETED, "ada")


def celery(*words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("celery")), "-A", "tasks", *words]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


def test_celery_call_submits_a_job_and_prints_its_id(database: Any, queues: Any) -> None:
    ended = celery("call", "articles", "--args", json.dumps([BEES]), "--queue", "articles")
    assert ended.returncode == 0, ended.stderr
    job = job_of(ended.stdout.split()[-1])
    assert (job.kind, job.user_id, job.status) == ("articles", "celery", Status.QUEUED)
    assert messages() == [job.id]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["poems"], "There is no task 'poems'; there are articles"),
        (["articles"], "field payload: topic is missing"),
        (["articles", "--args", '["6b02"]'], "the job's payload as an object"),
        (["articles", "--args", '[{"topic": "Bees"}]', "--queue", "images"], "leave it out"),
    ],
)
def test_celery_call_says_in_a_line_what_can_be_no_job(words: list[str], says: str, database: Any, queues: Any) -> None:
    ended = celery("call", *words)
    assert ended.returncode == 1
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert database.jobs.count_documents({}) == 0


def test_delay_submits_a_job(database: Any, queues: Any) -> None:
    result = task_of("articles").delay(BEES, userId="ada")
    assert (job_of(result.id).user_id, job_of(result.id).status) == ("ada", Status.QUEUED)
    assert messages() == [result.id]


def test_a_call_says_when_a_job_may_start_when_it_expires_and_how_urgent_it_is(database: Any, queues: Any) -> None:
    eta = datetime(2040, 1, 1, tzinfo=UTC)
    result = app.send_task("articles", kwargs=BEES, eta=eta, expires=eta + timedelta(hours=1), priority=9)
    job = job_of(result.id)
    assert (job.status, job.not_before, job.expires_at, job.priority) == (
        *(Status.SCHEDULED, eta, eta + timedelta(hours=1)),
        "high",
    )
    assert messages() == []
    before = datetime.now(UTC)
    not_before = job_of(task_of("articles").apply_async((BEES,), countdown=600).id).not_before
    assert not_before is not None
    assert timedelta(seconds=599) < not_before - before < timedelta(seconds=660)


def test_a_call_repeated_under_its_task_id_is_one_job(database: Any, queues: Any) -> None:
    for _ in range(2):
        assert app.send_task("articles", [BEES], task_id="mine").id == "mine"
    assert database.jobs.count_documents({}) == 1
    with pytest.raises(OrderRefused, match="another payload"):
        app.send_task("articles", [{"topic": "Ants"}], task_id="mine")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"task_id": "a b"}, "a job's id is 1 to 64"),
        ({"link": app.signature("articles")}, "Jobs have no link"),
        ({"routing_key": "images"}, "routing_key='images'"),
    ],
)
def test_a_call_that_asks_for_what_jobs_have_not_is_refused(
    options: dict[str, Any], says: str, database: Any, queues: Any
) -> None:
    with pytest.raises(OrderRefused, match=says):
        app.send_task("articles", [BEES], **options)
    assert database.jobs.count_documents({}) == 0


def test_an_order_by_the_queue_and_one_by_the_api_are_the_same_job(database: Any, queues: Any) -> None:
    payload = ArticleRequest(topic="Bees", word_count=60).model_dump(mode="json", by_alias=True)
    submit(Order(kind="articles", payload=payload, user_id="ada", job_id="mine"))
    assert take(ORDER | {"jobId": "mine"}) == Delete()
    assert database.jobs.count_documents({}) == 1
