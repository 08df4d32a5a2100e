"""What AWS does and a local SQS does not: a message delivered twice, an outdated receipt handle, all messages gone at once."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from cli.verifying.dead_letters import DeadLetters
from cli.verifying.ledger import Ledger, read_ledger, stories
from devstack.ai_service import AiService
from jobs.life import Status
from jobs.submit import Order, submit, submit_many
from queues.provision import apply
from tests.sqs import SqsProxy
from tests.tasks.conftest import StartWorker
from tests.workers import finished, wait_for

SHORT = {"LEASE_SECONDS": "3"}


@pytest.fixture
def service(environment: object) -> Iterator[AiService]:
    with AiService() as started:
        yield started


def orders(count: int) -> list[Order]:
    payload = {"mode": "topic", "topic": "Bees", "wordCount": 60}
    return [Order(kind="articles", payload=payload, user_id="ada", job_id=uuid4().hex) for _ in range(count)]


def done_at_once(job_ids: list[str]) -> None:
    """The jobs are over: completed, with one attempt each."""
    ended = [finished(job_id) for job_id in job_ids]
    others = [job.id for job in ended if (job.status, job.attempts) != (Status.COMPLETED, 1)]
    assert not others, "\n".join(stories(others))


def balanced(job_ids: list[str], service: AiService) -> Ledger:
    """The ledger of these jobs, once it balances."""
    letters = DeadLetters()

    def look() -> Ledger | None:
        ledger = read_ledger(job_ids, service.generations_for, letters)
        return ledger if ledger.balances else None

    return wait_for(look, "the ledger to balance")


@pytest.mark.long
def test_messages_that_sqs_delivers_twice_are_jobs_done_once(
    start_worker: StartWorker, sqs_proxy: SqsProxy, service: AiService
) -> None:
    sqs_proxy.duplicate(every=2)
    for _ in range(2):
        start_worker("articles", AI_SERVICE_URL=service.address, **SHORT)
    job_ids = [job.id for job in submit_many(orders(20))]
    done_at_once(job_ids)
    assert balanced(job_ids, service).generations == 20


@pytest.mark.long
def test_a_message_whose_receipt_handle_is_outdated_when_its_job_ends_does_nothing_when_it_comes_again(
    start_worker: StartWorker, sqs_proxy: SqsProxy, service: AiService
) -> None:
    sqs_proxy.fail(actions={"ChangeMessageVisibility", "ChangeMessageVisibilityBatch"})
    (order,) = orders(1)
    service.treat(str(order.job_id), wait_seconds=20)  # lease and five seconds are over by then: the message is visible
    workers = [start_worker("articles", AI_SERVICE_URL=service.address, LEASE_SECONDS="10") for _ in range(2)]
    job = submit(order)
    done = finished(job.id, workers[0])
    sqs_proxy.well()
    assert (done.status, done.attempts, done.crashes) == (Status.COMPLETED, 1, 0)
    assert balanced([job.id], service).generations == 1


@pytest.mark.long
def test_jobs_whose_messages_are_gone_with_the_queues_are_sent_again(
    start_worker: StartWorker, sqs_proxy: SqsProxy, service: AiService
) -> None:
    job_ids = [job.id for job in submit_many(orders(10))]
    sqs_proxy.restart_empty()
    start_worker("articles", AI_SERVICE_URL=service.address, **SHORT)
    apply()
    done_at_once(job_ids)
    assert balanced(job_ids, service).generations == 10
