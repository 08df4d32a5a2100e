"""The relay against a real MongoDB and a real SQS server: what nobody else sends or ends, and a sender that died anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import enumerate as enumerate_threads
from typing import Any

import pytest

from jobs import effects
from jobs.dispatch import dispatches
from jobs.document import Job
from jobs.errors import Retryable
from jobs.life import MOST_CRASHES, Status
from jobs.listing import Selection, page
from jobs.pace import Pace, pace
from jobs.relay import Relay, start_in_background
from jobs.sending import Rest, rest
from jobs.store import store
from jobs.submit import Order, submit, submit_many
from queues import steps
from queues.catalogue import KINDS
from queues.queue import Outgoing, dead_letters_of, queue_for
from queues.steps import Step
from queues.wire import JobMessage
from tests.conftest import NOWHERE
from tests.jobs.clocks import Clocks
from tests.jobs.jobs import TOKEN
from tests.jobs.waiting import FREE, FUTURE, PAST, in_queue, let_time_pass, put, read, receive_all
from tests.sqs import SqsProxy
from tests.workers import wait_for

pytestmark = pytest.mark.usefixtures("database", "queues")


def order(n: int = 0, **fields: Any) -> Order:
    return Order(**{"kind": "articles", "payload": {"topic": str(n)}, "user_id": "ada"} | fields)


NEVER = 10_000_000
PATIENT_SECONDS = 600
"""What a dispatch that is taken here gives for its send, and an end for its effects: more than a test takes."""
SENT = {"n": 1, "by": "web", "until": PAST, "at": datetime.now(UTC)}


def a_relay(*kinds: str, silent: float = NEVER, dispatch: float = PATIENT_SECONDS, **paces: float) -> Relay:
    """A relay of these kinds (articles), its pace as configured but for these."""
    return Relay(kinds or ["articles"], "relay", pace=replace(pace(), silent=silent, dispatch=dispatch, **paces))


class Died(BaseException):
    """The process is gone, as far as the code that was running can tell."""


@pytest.fixture
def dying() -> Iterator[Callable[[Step], None]]:
    """Call it with a step: whoever reaches that dies there, once."""

    def die_at(fatal: Step) -> None:
        def listen(step: Step, job_id: str) -> None:
            if step is fatal:
                steps.listeners.clear()
                raise Died

        steps.listeners.append(listen)

    yield die_at
    steps.listeners.clear()


def survive(call: Callable[[], object]) -> None:
    with pytest.raises(Died):
        call()


# -- what was never sent, what is due


def test_a_job_accepted_and_never_sent_is_sent_and_its_message_named(database: Any) -> None:
    job = put(database)
    assert a_relay().round().done == {"sent": 1}
    (message,) = receive_all()
    assert read(job.id).message_id == message.message_id
    assert a_relay().round().done == {}


@pytest.mark.parametrize("step", [Step.DISPATCHED, Step.SENT])
def test_a_relay_that_dies_between_two_writes_is_made_up_for(step: Step, dying: Any, database: Any) -> None:
    job = put(database)
    dying(step)
    survive(a_relay().round)
    assert a_relay().round().done == {}, "whoever took the dispatch has its time"
    let_time_pass(database)
    assert a_relay().round().done == {"sent": 1}
    messages = receive_all()
    assert len(messages) == (2 if step is Step.SENT else 1)
    assert read(job.id).message_id in {message.message_id for message in messages}


def test_a_submission_that_dies_between_insert_and_send_is_made_up_for(dying: Any, database: Any) -> None:
    dying(Step.SENT)
    survive(lambda: submit(order()))
    let_time_pass(database)
    a_relay().round()
    (job,) = page(Selection(user_id="ada"))[0]
    assert job.message_id
    assert in_queue() == {job.id: 2}


def test_a_job_claimed_by_its_unnamed_message_keeps_that(database: Any) -> None:
    job = put(database)
    (taken,) = dispatches().take([job], "relay")
    store().claim(job.id, kind="articles", token=TOKEN, worker="w", message_id="first")
    store().mark_sent({job.id: "second"}, n=taken.dispatch["n"])
    assert read(job.id).message_id == "first"


def test_a_scheduled_job_is_sent_when_its_time_has_come(database: Any) -> None:
    soon = submit(order(run_at=FUTURE))
    assert (soon.status, soon.message_id) == (Status.SCHEDULED, None)
    assert a_relay().round().done == {}
    database.jobs.update_one({"_id": soon.id}, {"$set": {"not_before": PAST}})
    a_relay().round()
    assert in_queue() == {soon.id: 1}
    assert read(soon.id).status is Status.QUEUED


def test_a_high_priority_job_is_sent_to_the_high_lane(database: Any) -> None:
    job = put(database, priority="high")
    a_relay().round()
    assert (in_queue(), in_queue(lane="high")) == ({}, {job.id: 1})


def test_two_relays_at_once_send_each_job_once(database: Any) -> None:
    jobs = {put(database).id for _ in range(60)}
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: a_relay().round(), range(4)))
    assert sum(report.done["sent"] for report in reports) == 60
    assert in_queue() == dict.fromkeys(jobs, 1)


# -- what the queue has lost


def test_an_emptied_queue_is_filled_again(database: Any) -> None:
    jobs = submit_many([order(n) for n in range(12)])
    queue_for("articles").purge()
    let_time_pass(database)
    relay = a_relay(short=0)
    assert relay.round().done == {"lost": 12}
    assert in_queue() == {job.id: 1 for job in jobs}
    assert {read(job.id).message_id for job in jobs}.isdisjoint({job.message_id for job in jobs})
    assert relay.round().done == {}


def test_only_the_difference_is_sent_again_the_longest_sent_first(database: Any) -> None:
    jobs = submit_many([order(n) for n in range(3)])
    let_time_pass(database)
    oldest = jobs[1].id
    database.jobs.update_one({"_id": oldest}, {"$set": {"dispatch.at": PAST - timedelta(hours=1)}})
    lost = queue_for("articles").receive(1, visibility_seconds=60, wait_seconds=0)
    queue_for("articles").delete([lost[0].receipt_handle])
    assert a_relay(short=0).round().done == {"lost": 1}
    assert read(oldest).message_id != jobs[1].message_id


def test_a_queue_that_shows_too_few_for_a_moment_has_lost_nothing(database: Any) -> None:
    put(database, message_id="m", dispatch=FREE | {"n": 1, "at": PAST})
    relay = a_relay()
    assert relay.round().done == {}
    assert relay.round().done == {}


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        ("processing", {}),
        ("retrying", {"not_before": FUTURE}),
        ("queued", {"dispatch": {"n": 1, "by": "x", "until": FUTURE, "at": PAST}}),
    ],
    ids=["leased", "too early", "just sent"],
)
def test_a_job_that_needs_no_message_now_is_not_sent_again(status: str, fields: dict[str, Any], database: Any) -> None:
    put(database, status, message_id="gone", **fields)
    assert a_relay(short=0, silent=0).round().done == {}


def test_a_job_nothing_was_heard_of_is_sent_again_whatever_the_counts_say(database: Any) -> None:
    job = submit(order())
    queue_for("articles").purge()
    queue_for("articles").send(Outgoing("something else"))
    let_time_pass(database)
    assert a_relay(silent=600).round().done == {"silent": 1}
    assert read(job.id).message_id != job.message_id


def test_a_relay_that_dies_while_it_replaces_a_lost_message_is_made_up_for(dying: Any, database: Any) -> None:
    job = submit(order())
    queue_for("articles").purge()
    let_time_pass(database)
    dying(Step.DISPATCHED)
    survive(a_relay(short=0).round)
    let_time_pass(database)
    a_relay().round()
    assert in_queue() == {job.id: 1}


# -- what nobody ends


@pytest.fixture
def quick(environment: Callable[..., None]) -> None:
    """Short leases, so that a process soon takes over what others left."""
    environment(LEASE_SECONDS="2")


def swept(job: Job, relay: Relay | None = None) -> Job:
    relay = relay or a_relay()

    def changed() -> Job | None:
        relay.round()
        after = read(job.id)
        return after if after.version > job.version else None

    return wait_for(changed, "the sweep")


@pytest.mark.usefixtures("quick")
def test_a_dead_workers_job_is_sent_again_with_its_crash_counted(database: Any) -> None:
    job = put(database, "processing", lease_seconds=-60, message_id="m")
    after = swept(job)
    assert (after.status, after.crashes, after.attempts) == (Status.QUEUED, 1, 0)
    assert in_queue() == {job.id: 1}


@pytest.mark.usefixtures("quick")
def test_a_lease_that_has_just_run_out_is_left_to_the_message(database: Any) -> None:
    late, just_now = put(database, "processing", lease_seconds=-7_200), put(database, "processing", lease_seconds=-1)
    swept(late, a_relay(overdue=3_600))
    assert read(just_now.id) == just_now


@pytest.mark.usefixtures("quick")
def test_a_dead_workers_job_whose_cancel_was_asked_for_is_cancelled(database: Any) -> None:
    job = put(database, "processing", lease_seconds=-60, cancel_requested=datetime.now(UTC))
    assert swept(job).status is Status.CANCELLED
    assert in_queue() == {}


@pytest.mark.usefixtures("quick")
def test_the_fifth_dead_worker_ends_the_job_with_a_dead_letter(database: Any) -> None:
    job = put(database, "processing", lease_seconds=-60, crashes=MOST_CRASHES - 1)
    after = swept(job)
    assert after.error is not None
    assert (after.status, after.error["code"], after.crashes) == (Status.FAILED, "worker_lost", MOST_CRASHES)
    (letter,) = dead_letters_of("articles").receive(10, visibility_seconds=60, wait_seconds=0)
    assert "worker_lost" in letter.attributes["Reason"]


def test_nothing_is_taken_over_right_after_mongodb_came_back(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Clocks(monkeypatch)
    monkeypatch.setattr("jobs.database._answering_since", [])  # as after an outage: workers renew their leases first
    job = put(database, "processing", lease_seconds=-60)
    a_relay().round()
    assert read(job.id) == job


def test_nothing_is_taken_over_right_after_this_machine_has_slept(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch)
    job = put(database, "processing", lease_seconds=-60)
    clocks.go_on(3_600)
    clocks.sleep(3_600)  # by MongoDB's clock the leases of the jobs that run here ran out meanwhile
    a_relay().round()
    assert read(job.id) == job
    clocks.go_on(pace().quiet)
    a_relay().round()
    assert read(job.id).crashes == 1


def test_a_job_that_did_not_start_in_its_time_expires(database: Any) -> None:
    late = put(database, expires_at=PAST)
    started = put(database, "retrying", expires_at=PAST, started_at=PAST, message_id="m", not_before=FUTURE)
    in_time = put(database, expires_at=FUTURE, message_id="m", dispatch=SENT)
    assert a_relay().round().done == {"expired": 1}
    assert read(late.id).status is Status.EXPIRED
    assert (read(started.id), read(in_time.id)) == (started, in_time)
    assert in_queue() == {}


def test_the_time_to_start_counts_from_when_a_job_may(database: Any) -> None:
    at_once, later = submit(order(expires_in_seconds=60)), submit(order(expires_in_seconds=60, run_at=FUTURE))
    assert at_once.expires_at == at_once.created_at + timedelta(seconds=60)
    assert later.not_before is not None
    assert later.expires_at == later.not_before + timedelta(seconds=60)


# -- effects


def ended_with(database: Any, does: str, *, finished_at: datetime = PAST) -> Job:
    effect = {"key": "k", "does": does, "reason": "r"}
    return put(database, "failed", finished_at=finished_at, effects=[effect])


def test_an_effect_that_was_left_pending_is_performed(database: Any) -> None:
    job = ended_with(database, "dead_letter")
    assert a_relay().round().done == {"jobs with effects": 1}
    assert read(job.id).effects == []
    assert dead_letters_of("articles").count() == 1


def test_dead_letters_wait_while_sqs_is_known_to_be_away(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    job, lasting = ended_with(database, "dead_letter"), Rest(PATIENT_SECONDS)
    monkeypatch.setattr("jobs.sending.rest", lambda: lasting)
    lasting.ended(is_well=False)
    a_relay().round()
    assert read(job.id).effects
    lasting.ended(is_well=True)
    a_relay().round()
    assert read(job.id).effects == []


def test_whoever_ended_a_job_has_its_time_to_perform_its_effects(database: Any) -> None:
    ended_with(database, "dead_letter", finished_at=datetime.now(UTC))
    assert a_relay().round().done == {}


def test_effects_that_fail_stop_no_other_of_their_job_or_of_another(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(job: Job, effect: effects.Effect) -> None:
        raise RuntimeError("a fault of ours")

    def put_off(job: Job, effect: effects.Effect) -> None:
        raise Retryable("the service is away")

    monkeypatch.setitem(effects.PERFORMERS, "break", fail)
    monkeypatch.setitem(effects.PERFORMERS, "wait", put_off)
    hindered = ("break", "wait", "something new")
    pending = [{"key": does, "does": does, "reason": "r"} for does in (*hindered, "dead_letter")]
    both = put(database, "failed", finished_at=PAST, effects=pending)
    done = ended_with(database, "dead_letter", finished_at=PAST + timedelta(seconds=1))
    a_relay().round()
    assert [effect["does"] for effect in read(both.id).effects] == [*hindered]
    assert read(done.id).effects == []


# -- dead letters


def dead_letter(job_id: str) -> str:
    return dead_letters_of("articles").send(Outgoing(JobMessage(job_id, "ada", "articles").body()))


def test_dead_letters_of_jobs_that_got_on_are_dropped_and_the_others_stay(database: Any) -> None:
    for status in ("completed", "cancelled", "processing", "queued", "retrying"):
        dead_letter(put(database, status, message_id="m", dispatch=FREE | {"at": datetime.now(UTC)}).id)
    kept = [dead_letter(put(database, "failed").id), dead_letter("unknown"), dead_letters_of("articles").send(Outgoing("{"))]
    assert a_relay().round().done == {"dead letters dropped": 5}
    left = dead_letters_of("articles").receive(10, visibility_seconds=60, wait_seconds=0)
    assert sorted(message.message_id for message in left) == sorted(kept)


def test_a_message_that_sqs_made_a_dead_letter_of_is_replaced_while_its_job_waits(database: Any) -> None:
    job = put(database, dispatch=FREE | {"at": datetime.now(UTC)})
    database.jobs.update_one({"_id": job.id}, {"$set": {"message_id": dead_letter(job.id)}})
    relay = a_relay()
    for _ in range(2):  # dropped in the first, sent in the second
        relay.round()
    assert in_queue() == {job.id: 1}


# -- each part alone


def test_a_missing_queue_stops_no_other_kind(database: Any, queues: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    from queues.clients import sqs

    sqs().delete_queue(QueueUrl=queue_for("articles").url)
    article, image = put(database), put(database, kind="images")
    relay = a_relay("articles", "images")
    for _ in range(3):
        report = relay.round()
    assert list(report.faults) == ["sending articles"]
    assert "python -m queues.provision" in report.faults["sending articles"]
    assert in_queue("images") == {image.id: 1}
    assert read(article.id) == article
    assert [record.getMessage().count("can't do a part") for record in caplog.records].count(1) <= 1


def test_with_sqs_away_nothing_is_written_and_what_needs_no_sqs_is_done(
    database: Any, environment: Callable[..., None]
) -> None:
    environment(AWS_ENDPOINT_URL=f"http://{NOWHERE}")
    unsent, late = put(database), put(database, expires_at=PAST)
    report = a_relay().round()
    assert report.done == {"expired": 1}
    assert read(unsent.id) == unsent
    assert read(late.id).status is Status.EXPIRED


def test_with_mongodb_away_a_round_ends_and_the_next_goes_on(database: Any, environment: Callable[..., None]) -> None:
    called: list[int] = []
    relay = Relay(["articles"], also=[lambda: called.append(1)])
    environment(MONGODB_URI=f"mongodb://{NOWHERE}/?serverSelectionTimeoutMS=100")
    assert list(relay.round().faults) == ["MongoDB"]
    assert called == [1]


def test_what_else_is_to_be_done_in_a_round_fails_alone(database: Any) -> None:
    def breaks() -> None:
        raise RuntimeError("broken")

    called: list[int] = []
    report = Relay(["articles"], also=[breaks, lambda: called.append(1)]).round()
    assert (len(report.faults), called) == (1, [1])


def test_throttled_sends_leave_the_rest_for_later(database: Any, sqs_proxy: SqsProxy) -> None:
    jobs = {put(database).id for _ in range(15)}
    sqs_proxy.throttle(actions={"SendMessageBatch", "SendMessage"})
    assert list(a_relay().round().faults) == ["sending articles"]
    sqs_proxy.well()
    let_time_pass(database)
    rest.cache_clear()  # as another process
    assert a_relay().round().done == {"sent": 15}
    assert in_queue() == dict.fromkeys(jobs, 1)


# -- the process's relay


def test_a_relay_says_what_it_does_and_when(database: Any) -> None:
    put(database)
    a_relay().round()
    (document,) = database.relays.find()
    assert (document["_id"], document["kinds"], document["report"]) == (
        "relay",
        ["articles"],
        {"done": {"sent": 1}, "faults": {}},
    )
    assert datetime.now(UTC) - document["at"] < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("of_the_other", "does"),
    [
        ({}, {}),
        ({"at": PAST}, {"sent": 1}),
        ({"report.faults": {"sending articles": "no rights"}}, {"sent": 1}),
        ({"kinds": ["images"]}, {"sent": 1}),
        ({"stands_back": True}, {"sent": 1}),
    ],
    ids=["it does well", "it is gone", "it meets faults", "it does another kind", "it stands back itself"],
)
def test_a_workers_relay_stands_back_while_another_looks_after_its_kinds(
    database: Any, of_the_other: dict[str, Any], does: dict[str, int]
) -> None:
    a_relay().round()
    if of_the_other:
        database.relays.update_one({"_id": "relay"}, {"$set": of_the_other})
    put(database)
    assert Relay(["articles"], "worker", stands_back=True).round().done == does


def test_what_a_relay_missed_in_a_queue_before_it_stood_back_has_not_been_missing_since(database: Any) -> None:
    put(database, message_id="m", dispatch=FREE | {"n": 1, "at": PAST})
    workers = Relay(["articles"], "worker", stands_back=True, pace=replace(pace(), silent=NEVER))
    workers.round()
    assert workers._short
    a_relay().round()
    workers.round()
    assert not workers._short


def message_of(job_id: str) -> str | None:
    return read(job_id).message_id


def test_rounds_go_on_in_the_background_until_they_are_stopped(database: Any, environment: Callable[..., None]) -> None:
    environment(LEASE_SECONDS="2")
    stop = start_in_background(["articles"])
    try:
        for _ in range(2):  # the second comes after the first round
            job = put(database)
            wait_for(partial(message_of, job.id), "the job to be sent")
    finally:
        stop()
        for relay in [each for each in enumerate_threads() if each.name == "relay"]:
            relay.join(30)  # or its round would go on in the next test


def test_many_unsent_jobs_are_sent_in_rounds_without_a_pause(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.relay.MOST", 20)
    for _ in range(50):
        put(database)
    relay = a_relay()
    reports = [relay.round() for _ in range(4)]
    assert [report.done["sent"] for report in reports] == [20, 20, 10, 0]
    assert [report.goes_on for report in reports] == [True, True, False, False]


def test_a_relay_of_every_kind_finds_nothing_to_do_in_an_empty_database() -> None:
    report = Relay(KINDS, pace=Pace.of(0.01)).round()
    assert (report.done, report.faults) == ({}, {})
