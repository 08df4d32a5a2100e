"""Users' shares: nobody's thousand jobs stand before the next user's one, and nobody's place stays empty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import pytest

from jobs.document import Job
from jobs.effects import perform_pending_of
from jobs.life import Status
from jobs.listing import Selection, page
from jobs.relay import Relay
from jobs.sending import message_group
from jobs.store import store
from jobs.submit import Order, submit, submit_many
from queues.queue import queue_for
from tests.jobs.jobs import TOKEN
from tests.jobs.waiting import FUTURE, PAST, in_queue, read
from tests.sqs import SqsProxy

pytestmark = pytest.mark.usefixtures("database", "queues")

CAP = 5


@pytest.fixture
def capped(environment: Callable[..., None]) -> None:
    environment(USER_RUNNING_JOBS=str(CAP), LEASE_SECONDS="120")  # a dispatch holds for 40 s: longer than a test takes


def order(user_id: str = "ada", **fields: Any) -> Order:
    return Order(**{"kind": "articles", "payload": {"topic": "Bees"}, "user_id": user_id} | fields)


def claim(job: Job) -> None:
    assert store().claim(job.id, kind=job.kind, token=TOKEN + job.id, worker="w", message_id=job.message_id or "m")


def complete(job: Job) -> None:
    claim(job)
    assert store().complete(job.id, TOKEN + job.id, result={}, usage={})
    perform_pending_of(job.id)


def sent(user_id: str = "ada") -> list[str]:
    """The ids of the user's jobs that name a message, in the order of their submission."""
    jobs, _ = page(Selection(user_id=user_id), limit=1_000)
    return [job.id for job in reversed(jobs) if job.message_id]


def a_round() -> Counter[str]:
    return Relay(["articles", "images"], "relay").round().done


@pytest.mark.usefixtures("capped")
def test_five_hundred_jobs_of_a_user_leave_the_next_user_his_turn() -> None:
    jobs = submit_many([order() for _ in range(500)])
    single = submit(order("grace"))
    assert single.message_id
    sent_first = [job for job in jobs if job.message_id]
    assert len(sent_first) == CAP
    assert in_queue() == {job.id: 1 for job in [*sent_first, single]}
    waiting = [read(job.id) for job in jobs if not job.message_id]
    assert {job.status for job in waiting} == {Status.QUEUED}
    assert all(job.waiting_for == {"reason": "user_cap", "until": None} for job in waiting)
    assert a_round() == {}, "the relay keeps to the shares too"


@pytest.mark.usefixtures("capped")
def test_the_end_of_a_job_sends_its_users_next_one() -> None:
    jobs = [submit(order()) for _ in range(8)]
    assert sent() == [job.id for job in jobs[:CAP]]
    complete(jobs[0])
    assert sent() == [job.id for job in jobs[: CAP + 1]]
    assert read(jobs[0].id).effects == []
    store().request_cancel(jobs[1].id, "ada")
    perform_pending_of(jobs[1].id)
    assert in_queue() == {job.id: 1 for job in jobs[: CAP + 2]}


@pytest.mark.usefixtures("capped")
@pytest.mark.parametrize("end", ["fail", "cancel", "expire", "give_up", "recover as cancelled"])
def test_every_end_gives_the_place_on(end: str, database: Any) -> None:
    job, *others = [submit(order()) for _ in range(CAP + 1)]
    change: dict[str, Any] = {}
    if end == "expire":
        change = {"expires_at": PAST}
    elif end == "give_up":
        change = {"attempts": 3}
    else:
        claim(job)
        if end == "recover as cancelled":
            change = {"cancel_requested": PAST, "lease.expires_at": PAST}
    if change:
        database.jobs.update_one({"_id": job.id}, {"$set": change})
    token = TOKEN + job.id
    ends: dict[str, Callable[[], object]] = {
        "fail": lambda: store().fail(job.id, token, code="internal", message="m", retryable=False),
        "cancel": lambda: store().cancel(job.id, token),
        "expire": lambda: store().expire(job.id),
        "give_up": lambda: store().give_up(job.id),
        "recover as cancelled": lambda: store().recover(job.id),
    }
    assert ends[end]()
    assert [effect["does"] for effect in read(job.id).effects][-1] == "next"
    perform_pending_of(job.id)
    assert read(others[-1].id).message_id


@pytest.mark.usefixtures("capped")
def test_a_worker_that_dies_after_the_end_leaves_the_next_job_to_the_relay(database: Any) -> None:
    first, *_, last = [submit(order()) for _ in range(CAP + 1)]
    claim(first)
    store().complete(first.id, TOKEN + first.id, result={}, usage={})
    a_round()
    assert read(last.id).message_id
    assert len(in_queue()) == CAP + 1


@pytest.mark.usefixtures("capped")
def test_a_job_that_is_put_off_gives_its_place_on(database: Any) -> None:
    first, *_, last = [submit(order()) for _ in range(CAP + 1)]
    claim(first)
    store().park(first.id, TOKEN + first.id, reason="provider_outage", seconds=600)
    a_round()
    assert read(last.id).message_id
    database.jobs.update_one({"_id": first.id}, {"$set": {"not_before": PAST}})
    a_round()
    parked = read(first.id)
    assert (parked.message_id, parked.waiting_for) == (None, {"reason": "user_cap", "until": None})


@pytest.mark.usefixtures("capped")
def test_places_are_counted_over_all_kinds() -> None:
    submit_many([order(kind=kind) for kind in ("articles", "images", "videos", "articles", "images")])
    assert submit(order()).message_id is None
    assert submit(order("grace", kind="images")).message_id


@pytest.mark.usefixtures("capped")
def test_high_priority_goes_first_and_then_the_oldest() -> None:
    first, *_ = submit_many([order() for _ in range(CAP)])
    normal, high = submit(order()), submit(order(priority="high"))
    complete(first)
    assert (read(high.id).message_id is not None, read(normal.id).message_id) == (True, None)
    assert in_queue(lane="high") == {high.id: 1}


@pytest.mark.usefixtures("capped")
def test_senders_that_count_at_the_same_time_agree() -> None:
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda _: submit(order()), range(40)))
    queued = sum(in_queue().values())
    assert CAP <= queued <= CAP + 3, "a small overshoot is allowed, an empty place is not"
    assert len([job for job in jobs if job.message_id]) == queued


@pytest.mark.usefixtures("capped")
def test_many_ends_at_once_leave_no_place_empty_and_overfill_none() -> None:
    jobs = submit_many([order() for _ in range(30)])
    with ThreadPoolExecutor(CAP) as pool:
        list(pool.map(complete, [job for job in jobs if job.message_id]))
    a_round()
    unfinished = [job_id for job_id in sent() if read(job_id).status is Status.QUEUED]
    assert CAP <= len(unfinished) <= CAP + 2


@pytest.mark.usefixtures("capped")
def test_a_job_that_is_lost_and_sent_again_needs_no_second_place(database: Any) -> None:
    jobs = submit_many([order() for _ in range(CAP)])
    queue_for("articles").purge()
    database.jobs.update_many({}, {"$set": {"dispatch.at": PAST, "dispatch.until": PAST}})
    assert a_round() == {"silent": CAP}
    assert in_queue() == {job.id: 1 for job in jobs}


@pytest.mark.usefixtures("capped")
def test_scheduled_jobs_wait_for_a_place_when_their_time_has_come(database: Any) -> None:
    submit_many([order() for _ in range(CAP)])
    later = submit(order(run_at=FUTURE))
    database.jobs.update_one({"_id": later.id}, {"$set": {"not_before": PAST}})
    a_round()
    due = read(later.id)
    assert (due.status, due.message_id) == (Status.QUEUED, None)
    assert due.waiting_for == {"reason": "user_cap", "until": None}


def test_a_cap_that_was_lifted_lets_everything_go(environment: Callable[..., None]) -> None:
    environment(USER_RUNNING_JOBS="2")
    jobs = submit_many([order() for _ in range(10)])
    environment(USER_RUNNING_JOBS=None)
    a_round()
    assert in_queue() == {job.id: 1 for job in jobs}


def test_without_a_cap_an_end_has_nothing_to_send(database: Any) -> None:
    job = submit(order())
    claim(job)
    store().complete(job.id, TOKEN + job.id, result={}, usage={})
    assert read(job.id).effects == []


@pytest.mark.usefixtures("capped")
def test_with_sqs_away_places_are_kept_for_whom_the_relay_sends(sqs_proxy: SqsProxy, database: Any) -> None:
    sqs_proxy.throttle(actions={"SendMessage", "SendMessageBatch"})
    jobs = submit_many([order() for _ in range(CAP + 2)])
    assert not any(job.message_id for job in jobs)
    waiting = [job.id for job in jobs if read(job.id).waiting_for]
    assert len(waiting) == 2


@pytest.mark.parametrize("user_id", ["ada", "ada@example.org", "a" * 128])
def test_a_users_messages_are_a_group_of_their_own(user_id: str) -> None:
    assert message_group(user_id) == user_id


@pytest.mark.parametrize("user_id", ["Ada Lovelace", "größe", "a" * 129, "ada\n"])
def test_a_user_whose_id_sqs_would_refuse_is_a_group_by_its_hash(user_id: str) -> None:
    assert message_group(user_id) == message_group(user_id) != message_group(user_id + "x")
    assert submit(order(user_id)).message_id
    assert len(message_group(user_id)) == 64


def test_messages_carry_their_users_group(queues: dict[str, str]) -> None:
    from queues.clients import sqs

    submit(order("grace"))
    submit_many([order("grace"), order("ada")])
    url = queues[queue_for("articles").name]
    found = islice(iter(lambda: _receive(sqs(), url), []), 5)
    assert sorted(group for groups in found for group in groups) == ["ada", "grace", "grace"]


def _receive(client: Any, url: str) -> list[str]:
    answer = client.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=60, WaitTimeSeconds=0, MessageSystemAttributeNames=["All"]
    )
    return [message["Attributes"]["MessageGroupId"] for message in answer.get("Messages", [])]
