"""An article's way through a real worker."""

from __future__ import annotations

import json
from typing import Any

from devstack.ai_service import AiService
from jobs.content import article
from jobs.effects import submission
from jobs.life import Status
from jobs.store import store
from jobs.submit import Order, submit, submit_many
from jobs.texts import text_so_far
from queues.queue import Outgoing, queue_for
from queues.wire import JobMessage, attributes
from tests.tasks.conftest import StartWorker
from tests.workers import finished, wait_for


def order(topic: str = "Urban bees", **payload: Any) -> Order:
    return Order(kind="articles", payload={"mode": "topic", "topic": topic, "wordCount": 120, **payload}, user_id="ada")


def test_an_article_is_written_stored_and_its_message_deleted(start_worker: StartWorker, database: Any) -> None:
    worker = start_worker("articles")
    job = finished(submit(order()).id, worker)
    assert (job.status, job.progress.percent, job.attempts, job.lease) == (Status.COMPLETED, 100, 1, None)
    written = article(job)
    assert written is not None
    assert written["content"].startswith("# ")
    assert "Urban bees" in written["content"]
    assert 108 <= written["word_count"] <= 132
    assert text_so_far(job) == written["content"]
    wait_for(lambda: _is_empty("articles"), "the message to be deleted", worker)
    stored = database.generated_content.find_one()
    assert stored["job_id"] == job.id


def _is_empty(kind: str) -> bool:
    found = queue_for(kind).attributes()
    return found["ApproximateNumberOfMessages"] == found["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_fifty_articles_are_fifty_jobs_each_with_its_own_result(start_worker: StartWorker) -> None:
    start_worker("articles")
    jobs = [finished(job.id) for job in submit_many([order(f"Topic number {n}") for n in range(50)])]
    assert {job.status for job in jobs} == {Status.COMPLETED}
    for n, job in enumerate(jobs):
        written = article(job)
        assert written is not None
        assert f"Topic number {n}" in written["content"]


def test_a_message_that_comes_twice_does_the_job_once(start_worker: StartWorker, database: Any) -> None:
    worker = start_worker("articles")
    first = finished(submit(order()).id, worker)
    queue_for("articles").send(Outgoing(JobMessage(first.id, "ada", "articles").body(), attributes("articles", "normal")))
    wait_for(lambda: "nothing to say any more" in worker.log, "the copy to be looked at", worker)
    wait_for(lambda: _is_empty("articles"), "the copy to be deleted", worker)
    again = finished(first.id)
    assert (again.version, again.attempts) == (first.version, 1)
    assert database.generated_content.count_documents({}) == 1


def test_the_asked_for_image_is_a_job_of_its_own_linked_to_the_article(start_worker: StartWorker) -> None:
    worker = start_worker("articles", "images")
    job = finished(submit(order(includeImages=True)).id, worker)
    (related,) = job.related_jobs
    image = finished(related, worker)
    assert (image.kind, image.status, image.user_id) == ("images", Status.COMPLETED, "ada")
    wait_for(lambda: finished(job.id).effects == [], "the effect to be struck out", worker)


def test_an_effect_that_a_dead_worker_left_is_made_up_for_by_the_message_that_comes_again(
    start_worker: StartWorker, database: Any
) -> None:
    job = submit(order())
    claimed = store().claim(job.id, kind="articles", token="dead", worker="dead", message_id=job.message_id)
    assert claimed is not None
    effect = submission(claimed, "images", {"prompt": "Bees", "size": "64x64"})
    assert store().complete(job.id, "dead", result={}, usage={}, effects=[effect])  # and dies before the effect
    worker = start_worker("articles", "images")
    assert finished(effect["job_id"], worker).status is Status.COMPLETED
    wait_for(lambda: finished(job.id).effects == [], "the effect to be struck out", worker)
    assert database.jobs.count_documents({"kind": "images"}) == 1


def test_an_article_comes_from_the_ai_service_with_its_usage(start_worker: StartWorker) -> None:
    with AiService() as service:
        worker = start_worker("articles", AI_SERVICE_URL=service.address)
        job = finished(submit(order()).id, worker)
    assert job.status is Status.COMPLETED
    assert job.usage is not None
    assert job.usage["output_tokens"] > 0
    (request,) = service.received("/api/generation/topic")
    assert request.header("Idempotency-Key") == job.id
    assert request.json()["word_count"] == 120


def test_a_refusal_fails_the_job_with_the_services_words(start_worker: StartWorker) -> None:
    with AiService() as service:
        service.behave(status=422, detail="topic is not allowed")
        worker = start_worker("articles", AI_SERVICE_URL=service.address)
        job = finished(submit(order()).id, worker)
    assert (job.status, job.attempts) == (Status.FAILED, 1)
    assert job.error is not None
    assert job.error["code"] == "provider_refused"
    assert "topic is not allowed" in job.error["message"]


def test_a_passing_fault_of_the_service_costs_an_attempt_and_not_the_job(start_worker: StartWorker) -> None:
    with AiService() as service:
        service.behave(status=500, times=1)
        worker = start_worker("articles", AI_SERVICE_URL=service.address)
        job = finished(submit(order()).id, worker)
    assert (job.status, job.attempts) == (Status.COMPLETED, 2)


def test_one_jobs_story_can_be_read_in_the_log_by_its_id(start_worker: StartWorker) -> None:
    worker = start_worker("articles")
    job = finished(submit(order()).id, worker)
    wait_for(lambda: "job completed" in worker.log, "the last line", worker)
    lines = [json.loads(line) for line in worker.log.splitlines() if line.startswith("{")]
    story = [line["event"] for line in lines if line.get("job_id") == job.id]
    assert story == ["job started", "job completed"]


def test_a_payload_that_its_kind_cannot_read_fails_the_job_with_the_fields_name(start_worker: StartWorker) -> None:
    worker = start_worker("articles")
    job = finished(submit(order(wordCount=-1)).id, worker)
    assert (job.status, job.attempts) == (Status.FAILED, 1)
    assert job.error is not None
    assert job.error["code"] == "invalid_payload"
    assert "wordCount" in job.error["message"]
