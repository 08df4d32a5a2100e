"""Dead letters sent back while workers run: by AWS's own tool, which knows nothing of jobs, and by ours."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devstack.ai_service import AiService
from jobs.failures import Selection
from jobs.life import FINAL, Status
from jobs.redrive import Round, redrive
from jobs.submit import Order, submit, submit_many
from queues.queue import Message, dead_letters_of, queue_for
from tests.jobs.failing import history, lay, letters
from tests.jobs.waiting import put, read
from tests.sqs import SqsProxy
from tests.tasks.conftest import StartWorker
from tests.workers import Worker, finished, wait_for

ORDER = Order(kind="articles", payload={"mode": "topic", "topic": "Bees", "wordCount": 60}, user_id="ada")
AN_HOUR = timedelta(hours=1)


def move(proxy: SqsProxy, letters: int) -> None:
    """AWS's redrive, StartMessageMoveTask from the dead-letter queue to the work queue: until so many were moved.

    It moves what is visible, which nothing is while a relay looks through the letters.
    """
    moved = 0

    def all_are_moved() -> bool:
        nonlocal moved
        moved += proxy.move_messages(dead_letters_of("articles").url, queue_for("articles").url)
        return moved >= letters

    wait_for(all_are_moved, f"{letters} letters to be moved")
    assert moved == letters


def wait_for_letters(count: int, worker: Worker) -> list[Message]:
    """So many dead letters, once they are there: while the worker's relay looks through them some are to be seen, or none."""
    return wait_for(lambda: found if len(found := letters()) == count else None, f"{count} dead letters", worker)


def verbs(job_id: str) -> list[str]:
    return [entry["verb"] for entry in history(job_id)]


def body_of(job_id: str, *, written: datetime) -> str:
    """A message's body as it was written some time ago."""
    timestamp = written.isoformat(timespec="seconds").replace("+00:00", "Z")
    return json.dumps({"jobId": job_id, "userId": "ada", "type": "articles", "timestamp": timestamp, "version": "1"})


def test_a_dead_letter_of_ours_that_aws_moves_back_starts_its_job_over(start_worker: StartWorker, sqs_proxy: SqsProxy) -> None:
    with AiService() as service:
        service.behave(status=422)
        worker = start_worker("articles", AI_SERVICE_URL=service.address)
        job = finished(submit(ORDER).id, worker)
        assert job.status is Status.FAILED
        wait_for(letters, "the dead letter", worker)
        service.behave()
        move(sqs_proxy, 1)
        wait_for(lambda: read(job.id).status is Status.COMPLETED, "the job to be done", worker)
    assert read(job.id).attempts == 1
    assert verbs(job.id) == ["submit", "claim", "fail", "requeue", "claim", "complete"]
    wait_for(lambda: queue_for("articles").count() == 0, "the queue to be empty", worker)
    assert letters() == []


def test_a_message_that_sqs_had_moved_by_itself_starts_its_failed_job_over(
    start_worker: StartWorker, sqs_proxy: SqsProxy, database: Any
) -> None:
    error = {"code": "internal", "message": "m", "retryable": False, "attempt": 3, "at": datetime.now(UTC)}
    failed = {"error": error, "attempts": 3, "finished_at": datetime.now(UTC) - AN_HOUR, "message_id": "the last one"}
    job = put(database, Status.FAILED, **failed)
    lay(body_of(job.id, written=datetime.now(UTC) - 2 * AN_HOUR))
    worker = start_worker("articles")
    move(sqs_proxy, 1)
    wait_for(lambda: read(job.id).status is Status.COMPLETED, "the job to be done", worker)
    assert (read(job.id).attempts, verbs(job.id)) == (1, ["requeue", "claim", "complete"])


@pytest.mark.parametrize("reason", ["internal: it broke", ""], ids=["ours", "moved by SQS itself"])
def test_letters_of_jobs_that_are_over_run_nothing_when_aws_moves_them_back(
    reason: str, start_worker: StartWorker, sqs_proxy: SqsProxy, database: Any
) -> None:
    over = [put(database, status, finished_at=datetime.now(UTC) - AN_HOUR) for status in sorted(FINAL - {Status.FAILED})]
    for job in over:
        lay(body_of(job.id, written=datetime.now(UTC) - 2 * AN_HOUR), **({"Reason": reason} if reason else {}))
    move(sqs_proxy, 3)  # before a relay drops letters of jobs that are over
    worker = start_worker("articles")
    wait_for(lambda: queue_for("articles").count() == 0, "the queue to be empty", worker)
    assert [read(job.id) for job in over] == over
    assert letters() == []


def test_what_nobody_can_read_comes_back_with_its_reason_when_aws_moves_it(
    start_worker: StartWorker, sqs_proxy: SqsProxy
) -> None:
    lay("not even JSON", Reason="set aside before")
    lay(body_of("gone", written=datetime.now(UTC)))
    move(sqs_proxy, 2)
    worker = start_worker("articles")
    back = wait_for_letters(2, worker)
    assert {letter.attributes["Reason"].partition(":")[0] for letter in back} == {
        "the body is not JSON",
        "no job has this id",
    }


def test_jobs_that_fail_again_at_once_start_over_once_for_each_redrive(start_worker: StartWorker, database: Any) -> None:
    with AiService() as service:
        service.behave(status=422)
        worker = start_worker("articles", AI_SERVICE_URL=service.address)
        # a letter that the relay looks at is not seen by the redrive: its next look comes in minutes
        wait_for(lambda: database.relays.find_one(), "the relay's first round", worker)
        ids = [job.id for job in submit_many([ORDER] * 12)]
        wait_until_dead(ids, 1, worker)
        Round(Selection(), redrive(), operator="olga").run()
        wait_until_dead(ids, 2, worker)
    assert {tuple(verbs(job_id)) for job_id in ids} == {("submit", "claim", "fail", "requeue", "claim", "fail")}
    wait_for_letters(len(ids), worker)


def wait_until_dead(ids: Iterable[str], times: int, worker: Worker) -> None:
    """Until each of the jobs has failed so often, and its dead letter is there."""

    def are_dead() -> bool:
        return all(verbs(job_id).count("fail") == times and not read(job_id).effects for job_id in ids)

    wait_for(are_dead, f"the jobs to fail {times} times", worker)
