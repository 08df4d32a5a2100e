"""Claims ahead: which jobs are claimed before there is a slot for them, whose they are then, and what becomes of the leases."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest
from pymongo.uri_parser import parse_uri

from devstack.forwarder import Forwarder
from jobs.document import Job
from jobs.life import Status
from jobs.store import store
from jobs.submit import Order, submit, submit_many
from queues.deliveries import AHEAD, Delivery
from queues.queue import Message, queue_for
from queues.wire import JobMessage, Ordered
from tasks.ahead import FEW, Ahead, ahead
from tasks.attending import attend, hold
from tasks.beat import beat
from tests.workers import PATIENCE_SECONDS, wait_for

ARTICLE = Order(kind="articles", payload={"mode": "topic", "topic": "Bees", "wordCount": 60}, user_id="ada")
_tags = itertools.count(1)


def delivery_of(job: Job, order: Ordered | None = None) -> Delivery:
    said = JobMessage(job.id, job.user_id, job.kind, order=order)
    message = Message(message_id=f"m-{job.id}", receipt_handle="", body="")
    return Delivery(queue_for(job.kind, "normal"), message, said, tag=f"ahead-{next(_tags)}")


def leases(database: Any) -> int:
    return int(database.jobs.count_documents({"status": "processing"}))


@pytest.fixture
def claiming(database: Any) -> Iterator[Ahead]:
    claiming = Ahead()
    yield claiming
    claiming.withdraw()
    for held in beat().held():
        beat().drop(held)


def offered(claiming: Ahead, jobs: list[Job]) -> list[Delivery]:
    """Deliveries of these jobs, offered one after the other."""
    deliveries = [delivery_of(job) for job in jobs]
    for delivery in deliveries:
        claiming.offer(delivery, "worker@here")
    return deliveries


def test_what_is_offered_is_claimed_once_and_its_lease_kept_until_its_slot_drops_it(claiming: Ahead, database: Any) -> None:
    jobs = submit_many([ARTICLE] * 5)
    deliveries = offered(claiming, jobs)
    wait_for(lambda: leases(database) == 5, "the claims")
    taken = [claiming.take(delivery.tag) for delivery in deliveries]
    assert claiming.count() == 0
    for job, held in zip(jobs, taken, strict=True):
        assert held is not None
        found = store().get(job.id)
        assert found is not None
        assert found.lease is not None
        assert (held.job.id, held.hold.token, held.job.attempts) == (job.id, found.lease.token, 1)
        assert (found.lease.worker, found.message_id) == ("worker@here", f"m-{job.id}")
        assert held in beat().held()
    assert [claiming.take(delivery.tag) for delivery in deliveries] == [None] * 5


def test_no_more_are_claimed_than_may_be_and_the_next_when_few_are_left(claiming: Ahead, database: Any) -> None:
    deliveries = offered(claiming, submit_many([ARTICLE] * (2 * AHEAD)))
    wait_for(lambda: claiming.count() > FEW, "the first claims")
    taken = 0
    for delivery in deliveries:
        taken += claiming.take(delivery.tag) is not None
        assert leases(database) <= taken + AHEAD
    assert taken == leases(database) > AHEAD


def test_what_its_slot_takes_before_it_is_claimed_is_left_to_the_slot(claiming: Ahead, database: Any) -> None:
    deliveries = offered(claiming, submit_many([ARTICLE] * (2 * AHEAD)))
    wait_for(lambda: claiming.count() > FEW, "the first claims")
    assert claiming.take(deliveries[-1].tag) is None
    for delivery in deliveries:
        claiming.take(delivery.tag)
    last = store().get(deliveries[-1].job.job_id)
    assert last is not None
    assert last.status is Status.QUEUED


def test_a_job_that_does_not_wait_any_more_is_for_its_slot_to_look_at(claiming: Ahead, database: Any) -> None:
    waits, cancelled, taken = submit_many([ARTICLE] * 3)
    store().request_cancel(cancelled.id, "ada")
    store().claim(taken.id, kind="articles", token="other", worker="w", message_id=None)
    deliveries = offered(claiming, [cancelled, taken, waits])
    wait_for(lambda: leases(database) == 2, "the one claim")
    assert [claiming.take(delivery.tag) is None for delivery in deliveries] == [True, True, False]
    found = store().get(taken.id)
    assert found is not None
    assert found.lease is not None
    assert (found.lease.token, found.crashes) == ("other", 0)


def test_a_lease_that_ran_out_is_taken_over_by_a_slot_and_not_ahead(claiming: Ahead, database: Any) -> None:
    lost, waits = submit_many([ARTICLE] * 2)
    store().claim(lost.id, kind="articles", token="other", worker="w", message_id=None)
    database.jobs.update_one({"_id": lost.id}, [{"$set": {"lease.expires_at": "$created_at"}}])
    deliveries = offered(claiming, [lost, waits])
    wait_for(lambda: leases(database) == 2, "the other claim")
    assert claiming.take(deliveries[0].tag) is None
    found = store().get(lost.id)
    assert found is not None
    assert found.crashes == 0


def test_a_lease_that_no_slot_takes_is_not_kept(claiming: Ahead, database: Any) -> None:
    (delivery,) = offered(claiming, [submit(ARTICLE)])
    wait_for(lambda: leases(database) == 1, "the claim")
    claiming.forget(delivery.tag)
    assert not beat().held()
    assert claiming.count() == 0


def test_orders_and_jobs_that_keep_an_order_are_not_claimed_ahead(claiming: Ahead, database: Any) -> None:
    change = {"op": "CREATE", "resumeId": "r-1", "data": {"basics": {"name": "Ada"}}}
    ordered = submit(Order(kind="resumes", payload=change, user_id="ada"))
    article, other = submit_many([ARTICLE] * 2)
    claiming.offer(delivery_of(ordered), "w")
    claiming.offer(delivery_of(article, Ordered({})), "w")
    offered(claiming, [other])
    wait_for(lambda: leases(database) == 1, "the one that is claimed")
    found = store().get(other.id)
    assert found is not None
    assert found.status is Status.PROCESSING


def test_a_job_that_is_cancelled_while_it_waits_for_its_slot_is_not_begun(database: Any, queues: Any) -> None:
    job = submit(ARTICLE)
    said = JobMessage(job.id, job.user_id, job.kind)
    delivery = hold(queue_for("articles", "normal"), Message(message_id=f"m-{job.id}", receipt_handle="r", body=""), said)
    ahead().offer(delivery, "worker@here")
    wait_for(lambda: leases(database) == 1, "the claim")
    store().request_cancel(job.id, "ada")
    wait_for(lambda: any(held.hold.end == "cancelled" for held in beat().held()), "the beat to learn of it")
    attend(delivery, "worker@here")
    found = store().get(job.id)
    assert found is not None
    assert (found.status, [entry["verb"] for entry in found.history]) == (
        Status.CANCELLED,
        ["submit", "claim", "request_cancel", "cancel"],
    )
    assert not beat().held()


def test_with_mongodb_away_the_slot_waits_for_the_claim_that_was_asked_for(
    claiming: Ahead, database: Any, mongodb: str, environment: Callable[..., None]
) -> None:
    job = submit(ARTICLE)
    host, port = parse_uri(mongodb)["nodelist"][0]
    with Forwarder(str(host), int(port or 27017)) as cable:
        environment(MONGODB_URI=f"mongodb://{cable.address}/?directConnection=true")
        store().get(job.id)
        cable.cut()
        (delivery,) = offered(claiming, [job])
        wait_for(lambda: claiming.count() == 1, "the claim to be asked for")
        taken: list[Any] = []
        taking = Thread(target=lambda: taken.append(claiming.take(delivery.tag)), daemon=True)
        taking.start()
        cable.restore()
        taking.join(PATIENCE_SECONDS)
        assert taken[0].job.attempts == 1


def test_nothing_is_claimed_of_what_was_withdrawn(claiming: Ahead, database: Any) -> None:
    deliveries = offered(claiming, submit_many([ARTICLE] * (2 * AHEAD)))
    wait_for(lambda: claiming.count() > FEW, "the first claims")
    claiming.withdraw()
    for delivery in deliveries:
        claiming.take(delivery.tag)
    assert claiming.count() == 0
    assert leases(database) <= AHEAD
