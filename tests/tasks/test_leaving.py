"""What a worker that is told to stop leaves to the others, and what it finishes itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from math import inf
from time import monotonic
from typing import Any
from uuid import uuid4

from pymongo.uri_parser import parse_uri

from devstack.ai_service import AiService
from devstack.forwarder import Forwarder
from jobs.life import Status
from jobs.store import store
from jobs.submit import Order, submit, submit_many
from queues.deliveries import Delivery
from queues.queue import Message, queue_for
from queues.wire import JobMessage
from tasks.beat import Held, beat
from tasks.hold import Hold
from tasks.leaving import come_back, leave
from tests.tasks.conftest import StartWorker
from tests.workers import PATIENCE_SECONDS, finished, wait_for

ARTICLE = Order(kind="articles", payload={"mode": "topic", "topic": "Bees", "wordCount": 60}, user_id="ada")
VIDEO = Order(kind="videos", payload={"prompt": "Waves", "duration": 1, "size": "128x128"}, user_id="ada")


def history(database: Any, job_id: str) -> list[str]:
    return [entry["verb"] for entry in database.jobs.find_one({"_id": job_id})["history"]]


def test_a_job_that_waits_on_a_checkpoint_goes_to_another_worker_at_once_and_is_not_ordered_twice(
    start_worker: StartWorker, database: Any
) -> None:
    with AiService() as service:
        service.make(video_polls=10_000)
        leaving = start_worker("videos", AI_SERVICE_URL=service.address)
        job = submit(VIDEO)
        wait_for(lambda: (found := store().get(job.id)) and found.checkpoint, "the checkpoint", leaving)
        assert leaving.stop(signal.SIGTERM) == 0
        waiting = store().get(job.id)
        assert waiting is not None
        assert (waiting.status, waiting.attempts, waiting.lease) == (Status.QUEUED, 0, None)
        assert waiting.message_id not in (None, job.message_id)
        service.make(video_polls=3)
        done = finished(job.id, start_worker("videos", AI_SERVICE_URL=service.address))
        assert (done.status, done.attempts, done.crashes) == (Status.COMPLETED, 1, 0)
        assert service.generations == 1
    assert history(database, job.id) == ["submit", "claim", "hand_back", "claim", "complete"]
    assert database.counters.find_one({"_id.name": "handbacks"})["n"] == 1
    assert '"handed_back": 1' in leaving.log


def test_a_call_under_way_gets_its_time_to_end_and_is_recorded(start_worker: StartWorker, database: Any) -> None:
    with AiService() as service:
        leaving = start_worker("articles", app="tests.tasks.lasting", AI_SERVICE_URL=service.address)
        job = submit(ARTICLE)
        wait_for(lambda: service.received("/api/generation/topic"), "the service to be called", leaving)
        os.killpg(leaving.process.pid, signal.SIGTERM)  # as a host does: the whole group
        assert leaving.process.wait(PATIENCE_SECONDS) == 0
    assert history(database, job.id) == ["submit", "claim", "complete"]
    assert '"finished": 1' in leaving.log


def test_jobs_claimed_before_there_is_a_slot_for_them_ask_nobody_and_go_to_another_worker(
    start_worker: StartWorker, database: Any
) -> None:
    with AiService() as service:
        slots = {"options": ("-c", "4"), "AI_SERVICE_URL": service.address}
        leaving = start_worker("articles", SHUTDOWN_GRACE_SECONDS="0.5", **slots)
        for _ in range(3):  # short runs: from now on some are claimed before their time
            finished(submit(ARTICLE).id, leaving)
        service.behave(wait_seconds=600)
        ids = [job.id for job in submit_many([ARTICLE] * 12)]
        wait_for(lambda: database.jobs.count_documents({"status": "processing"}) > 4, "more claims than slots", leaving)
        wait_for(lambda: len(service.received("/api/generation/topic")) >= 3 + 4, "four calls", leaving)
        assert leaving.stop(signal.SIGTERM) == 0
        assert len(service.received("/api/generation/topic")) == 3 + 4
        service.behave()
        other = start_worker("articles", **slots)
        ended = [finished(job_id, other) for job_id in ids]
        assert {(job.status, job.attempts, job.crashes) for job in ended} == {(Status.COMPLETED, 1, 0)}
        assert service.generations == 3 + 12
    stories = [history(database, job_id) for job_id in ids]
    assert sum(verbs == ["submit", "claim", "hand_back", "claim", "complete"] for verbs in stories) > 4
    assert leaving.log.count("job started") == 3 + 4 + 12  # of both workers


def test_of_a_worker_that_is_killed_the_jobs_that_wait_for_a_slot_are_done_once_too(
    start_worker: StartWorker, database: Any
) -> None:
    with AiService() as service:
        options: dict[str, Any] = {"options": ("-c", "4"), "AI_SERVICE_URL": service.address, "LEASE_SECONDS": "3"}
        killed = start_worker("articles", **options)
        for _ in range(3):  # short runs: from now on some are claimed before their time
            finished(submit(ARTICLE).id, killed)
        service.behave(wait_seconds=600)
        ids = [job.id for job in submit_many([ARTICLE] * 12)]
        wait_for(lambda: len(service.received("/api/generation/topic")) >= 3 + 4, "four calls", killed)
        wait_for(lambda: database.jobs.count_documents({"status": "processing"}) > 4, "more claims than slots", killed)
        killed.stop(signal.SIGKILL)
        claimed = {job["_id"] for job in database.jobs.find({"status": "processing"})}
        service.behave()
        other = start_worker("articles", **options)
        ended = {job_id: finished(job_id, other) for job_id in ids}
        assert {(job.status, job.attempts) for job in ended.values()} == {(Status.COMPLETED, 1)}
        assert {job_id for job_id, job in ended.items() if job.crashes} == claimed
        assert len(service.received("/api/generation/topic")) == 3 + 4 + 12  # those that waited had asked nobody
        assert service.generations == 3 + 12


def test_a_job_that_waits_for_a_slot_has_all_its_time() -> None:
    hold = Hold("j-1", "t-1", max_seconds=600)
    assert hold.deadline == inf
    hold.start_clock()
    assert hold.deadline <= monotonic() + 600


def test_a_call_that_outlasts_the_grace_is_handed_back(start_worker: StartWorker, database: Any) -> None:
    with AiService() as service:
        service.behave(wait_seconds=60)
        leaving = start_worker("articles", AI_SERVICE_URL=service.address, SHUTDOWN_GRACE_SECONDS="0.5")
        job = submit(ARTICLE)
        wait_for(lambda: service.received("/api/generation/topic"), "the service to be called", leaving)
        assert leaving.stop(signal.SIGTERM) == 0
        service.behave()
        done = finished(job.id, start_worker("articles", AI_SERVICE_URL=service.address))
        assert (done.status, done.attempts) == (Status.COMPLETED, 1)
        assert service.generations == 1  # asked twice under one key
    assert history(database, job.id) == ["submit", "claim", "hand_back", "claim", "complete"]


def test_what_is_given_up_with_mongodb_away_is_handed_back_when_it_is_there_again(
    database: Any, mongodb: str, environment: Callable[..., None]
) -> None:
    host, port = parse_uri(mongodb)["nodelist"][0]
    with Forwarder(str(host), int(port or 27017)) as cable, ExitStack() as running:
        environment(MONGODB_URI=f"mongodb://{cable.address}/?directConnection=true")
        claimed = [_claimed(submit(VIDEO).id) for _ in range(3)]
        for held in claimed:
            running.enter_context(beat().keeping(held))
        cable.cut()

        def none_is_busy() -> int:
            cable.restore()
            return 0

        leave(none_is_busy)
        come_back()
        found = [store().get(held.job.id) for held in claimed]
    assert {(job.status, job.attempts, job.lease) for job in found if job} == {(Status.QUEUED, 0, None)}


def _claimed(job_id: str) -> Held:
    token = uuid4().hex
    job = store().claim(job_id, kind="videos", token=token, worker="w", message_id=None)
    assert job is not None
    said = JobMessage(job_id, job.user_id, "videos")
    delivery = Delivery(queue_for("videos", "normal"), Message(message_id="m", receipt_handle="", body=""), said, tag=job_id)
    return Held(job, Hold(job_id, token, max_seconds=60), delivery, lambda: None)


def test_what_was_cancelled_meanwhile_is_cancelled_and_not_handed_back(start_worker: StartWorker) -> None:
    with AiService() as service:
        service.make(video_polls=10_000)
        leaving = start_worker("videos", AI_SERVICE_URL=service.address)
        job = submit(VIDEO)
        wait_for(lambda: (found := store().get(job.id)) and found.checkpoint, "the checkpoint", leaving)
        store().request_cancel(job.id, "ada")
        assert leaving.stop(signal.SIGTERM) == 0
        assert finished(job.id).status is Status.CANCELLED
        start_worker("videos", AI_SERVICE_URL=service.address, LEASE_SECONDS="3")
        wait_for(lambda: {task.error for task in service.tasks.values()} == {"cancelled"}, "the provider to be told")


def test_messages_received_and_not_begun_are_with_another_worker_at_once(start_worker: StartWorker) -> None:
    with AiService() as service:
        service.behave(wait_seconds=1.5)
        variables = {"AI_SERVICE_URL": service.address, "SHUTDOWN_GRACE_SECONDS": "20"}
        leaving = start_worker("articles", options=("-c", "2"), **variables)
        jobs = [submit(ARTICLE) for _ in range(12)]
        wait_for(lambda: service.received("/api/generation/topic"), "the service to be called", leaving)
        assert leaving.stop(signal.SIGTERM) == 0
        taking_on = start_worker("articles", **variables)
        done = [finished(job.id, taking_on) for job in jobs]
    assert {(job.status, job.attempts, job.crashes) for job in done} == {(Status.COMPLETED, 1, 0)}
    assert service.generations == len(jobs)
