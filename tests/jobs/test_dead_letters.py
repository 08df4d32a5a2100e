"""Dead letters seen, explained, sent back and dropped; nothing is run that has got on, and nothing is lost by a kill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from jobs.database import database as our_database
from jobs.dead_letters import drop_settled
from jobs.draining import QueueDraining, drains
from jobs.failures import MALFORMED, SETTLED, UNKNOWN_JOB, UNTAKEN, Group, Selection, normalised
from jobs.life import Status
from jobs.redrive import Deed, Outcome, Round, drop, letters_about, look, redrive
from jobs.relay import Relay
from jobs.sending import rest
from jobs.store import store
from queues import steps
from queues.catalogue import KINDS
from queues.clients import QueueError, sqs_receiving
from queues.queue import dead_letters_of
from queues.steps import Step
from queues.wire import JobMessage
from tests.jobs.clocks import Clocks
from tests.jobs.failing import REFUSED, fail, history, lay, letters
from tests.jobs.waiting import PAST, in_queue, let_time_pass, put, read, receive_all
from tests.sqs import SqsProxy

ARTICLES = Selection(kinds=("articles",))
GARBAGE = "not even JSON"


def listed(selection: Selection = ARTICLES) -> dict[str, Group]:
    """The groups by their error's code; each code once."""
    groups = [group for _, group in Round(selection, look).run().by_deed()]
    found = {group.code: group for group in groups}
    assert len(found) == len(groups)
    return found


def send_back(selection: Selection = ARTICLES, *, malformed: bool = False) -> Outcome:
    return Round(selection, redrive(malformed=malformed), operator="olga").run()


def body_of(job_id: str) -> str:
    return JobMessage(job_id, "ada", "articles").body()


# -- seen


def test_jobs_that_failed_alike_are_one_group_with_their_letters(database: Any, queues: Any) -> None:
    for n in range(3):
        fail(database, "internal", f"Connection to http://127.0.0.1:4{n}121 broke after 1{n}.5 s")
    fail(database, REFUSED, "No such style.")
    found = listed()
    assert {code: (len(group.jobs), group.letters) for code, group in found.items()} == {"internal": (3, 3), REFUSED: (1, 1)}
    assert found["internal"].message == "Connection to http://127.0.0.1:… broke after … s"
    assert "user changes it" in found[REFUSED].remedy


@pytest.mark.parametrize(
    ("message", "alike"),
    [
        ("job 3f2a9c0d4e5b6a7f8091a2b3c4d5e6f7 is gone", "job … is gone"),
        ("request 0d3b1f4e-7b1c-4a37-9f8e-2f1d3c4b5a69 failed", "request … failed"),
        ("HTTP 503, after 3 attempts", "HTTP 503, after 3 attempts"),
        ("version 1.2.3 is refused", "version 1.2.3 is refused"),
    ],
)
def test_what_varies_in_a_message_is_left_out_and_no_more(message: str, alike: str) -> None:
    assert normalised(message) == alike


def test_everything_else_in_the_dead_letter_queue_is_told_apart(database: Any, queues: Any) -> None:
    done, foreign = put(database, Status.COMPLETED), put(database, Status.COMPLETED, kind="images")
    lay(body_of(done.id))
    lay(GARBAGE, Reason="the body is not JSON")
    lay(body_of(foreign.id), Reason="field type is 'articles', but the job's is 'images'")
    lay(body_of("gone"))
    lay(json.dumps({"type": "articles", "userId": "ada", "payload": {}}))
    lay(json.dumps({"type": "articles", "userId": "ada", "payload": {}, "jobId": done.id}), Reason="field jobId: is taken")
    groups = {(group.code, group.message): group.letters for _, group in Round(ARTICLES, look).run().by_deed()}
    assert groups == {
        (SETTLED, "its job is completed"): 1,
        (MALFORMED, "the body is not JSON"): 1,
        (MALFORMED, "field type is 'articles', but the job's is 'images'"): 1,
        (MALFORMED, "field jobId: is taken"): 1,
        (UNKNOWN_JOB, "no job has this id"): 1,
        (UNTAKEN, "an order that no worker took in"): 1,
    }


def test_looking_takes_nothing_away_and_more_than_a_page_is_read_be_the_queue_ordered_too(database: Any, queues: Any) -> None:
    laid = {lay(f"{GARBAGE} {n}", "resumes") for n in range(25)}
    for _ in range(2):
        assert sum(group.letters for _, group in Round(Selection(kinds=("resumes",)), look).run().by_deed()) == 25
    assert {letter.message_id for letter in letters("resumes")} == laid


def test_a_look_waits_only_for_letters_that_sqs_counts(database: Any, queues: Any) -> None:
    waits: list[int] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        waits.append(params["WaitTimeSeconds"])

    sqs_receiving().meta.events.register("provide-client-params.sqs.ReceiveMessage", note)
    assert Round(Selection(), look).run().groups == {}
    assert letters_about("nobody", KINDS) == []
    assert {*waits} == {0}
    waits.clear()
    for n in range(12):
        lay(f"{GARBAGE} {n}")
    listed()
    assert waits == [1, 1, 0]


def test_a_failed_job_is_seen_whose_letter_is_gone_or_not_yet_sent(database: Any, queues: Any) -> None:
    fail(database, letter=False)
    group = listed()[REFUSED]
    assert (len(group.jobs), group.letters) == (1, 0)


def test_a_job_or_a_message_is_found_by_its_id(database: Any, queues: Any) -> None:
    job = fail(database)
    garbage = lay(GARBAGE, "images")
    (letter,) = letters_about(job.id, ["articles"])
    assert letter.reason == f"{REFUSED}: No."
    assert [each.message.body for each in letters_about(garbage, ["articles", "images"])] == [GARBAGE]


def test_a_missing_queue_hides_neither_the_failed_jobs_nor_the_other_kinds(database: Any, queues: Any) -> None:
    fail(database)
    name = dead_letters_of("images").name
    dead_letters_of("images").remove()
    outcome = Round(Selection(), look).run()
    assert outcome.missing == [name]
    assert [group.code for _, group in outcome.by_deed()] == [REFUSED]


# -- sent back


def test_a_failed_job_starts_over_and_its_letter_goes(database: Any, queues: Any) -> None:
    job = fail(database, attempts=3)
    lay(body_of(job.id))  # a second letter
    outcome = send_back()
    assert outcome.count(Deed.START_OVER) == (1, 2)
    again = read(job.id)
    assert (again.status, again.attempts, again.error) == (Status.QUEUED, 0, None)
    assert (history(job.id)[-1]["verb"], history(job.id)[-1]["by"]) == ("requeue", "olga")
    assert in_queue() == {job.id: 1}
    assert letters() == []


def test_a_dry_run_says_what_the_redrive_then_does_and_changes_nothing(database: Any, queues: Any) -> None:
    jobs = [fail(database) for _ in range(2)] + [fail(database, letter=False)]
    lay(GARBAGE, Reason="the body is not JSON")
    lay(body_of(put(database, Status.CANCELLED).id))
    before = sorted(database.jobs.find(), key=str)
    foreseen = Round(ARTICLES, redrive()).run()
    assert sorted(database.jobs.find(), key=str) == before
    assert len(letters()) == 4
    done = send_back()
    for deed in Deed:
        assert done.count(deed) == foreseen.count(deed)
    assert [done.count(deed) for deed in Deed] == [(3, 2), (0, 1), (0, 0), (0, 1)]
    assert in_queue() == {job.id: 1 for job in jobs}
    assert [letter.body for letter in letters()] == [GARBAGE]


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.CANCELLED, Status.EXPIRED, Status.QUEUED, Status.PROCESSING])
def test_a_letter_whose_job_has_got_on_is_dropped_and_runs_nothing(status: Status, database: Any, queues: Any) -> None:
    job = put(database, status, message_id="named")
    lay(body_of(job.id), Reason="internal: it broke")
    assert send_back().count(Deed.DROP) == (0, 1)
    assert (read(job.id), letters()) == (job, [])


def test_a_letter_that_its_job_waits_for_is_forgotten_before_it_goes(database: Any, queues: Any) -> None:
    job = put(database, Status.QUEUED)
    database.jobs.update_one({"_id": job.id}, {"$set": {"message_id": lay(body_of(job.id))}})
    send_back()
    assert read(job.id).message_id is None
    Relay(["articles"]).round()
    assert in_queue() == {job.id: 1}


def test_what_nobody_can_read_stays_unless_it_is_to_be_put_back_as_it_was(database: Any, queues: Any) -> None:
    lay(GARBAGE, Reason="the body is not JSON", Colour="red")
    lay(body_of("gone"), Reason="no job has this id", Priority="high")
    assert send_back().count(Deed.STAY) == (0, 2)
    assert len(letters()) == 2
    assert send_back(malformed=True).count(Deed.PUT_BACK) == (0, 2)
    assert letters() == []
    (normal,) = receive_all()
    assert (normal.body, normal.attributes) == (GARBAGE, {"Colour": "red"})
    (high,) = receive_all(lane="high")
    assert high.attributes == {"Priority": "high"}


def test_only_what_is_meant_is_touched(database: Any, queues: Any) -> None:
    old, new = fail(database), fail(database, "internal")
    image = fail(database, kind="images")
    database.jobs.update_one({"_id": old.id}, {"$set": {"finished_at": PAST}})
    hour = timedelta(minutes=59)
    meant = {
        Selection(kinds=("images",)): {image.id},
        Selection(codes=("internal",)): {new.id},
        Selection(older_than=hour): {old.id},
        Selection(newer_than=hour): {new.id, image.id},
        Selection(job_id=old.id): {old.id},
        Selection(kinds=("images",), codes=("internal",)): set(),
        Selection(): {old.id, new.id, image.id},
    }
    for selection, jobs in meant.items():
        found = [group.jobs for _, group in Round(selection, look).run().by_deed()]
        assert set().union(*found) == jobs, selection
    send_back(Selection(job_id=old.id))
    assert [read(each.id).status for each in (old, new, image)] == [Status.QUEUED, Status.FAILED, Status.FAILED]
    assert len(letters()) == 1


def test_a_letter_still_to_be_sent_is_not_once_its_job_starts_over(database: Any, queues: Any) -> None:
    job = fail(database, letter=False)
    send_back()
    assert read(job.id).effects == []
    Relay(["articles"]).round()
    assert letters() == []


def test_a_job_that_changed_since_it_was_looked_at_is_left_alone(database: Any, queues: Any) -> None:
    job = fail(database)
    assert store().requeue(job.id, by="its user") is not None
    store().request_cancel(job.id, "ada")
    assert job.finished_at is not None
    assert store().requeue(job.id, by="us", failed_at=job.finished_at, operator="olga") is None
    assert not store().dismiss(job.id, failed_at=job.finished_at, operator="olga")
    assert read(job.id).status is Status.CANCELLED


def test_what_fails_while_it_is_redriven_is_not_meant(database: Any, queues: Any) -> None:
    job = fail(database)
    database.jobs.update_one({"_id": job.id}, {"$set": {"finished_at": our_database().now() + timedelta(hours=1)}})
    assert send_back().groups == {}
    assert read(job.id).status is Status.FAILED


def test_what_failed_just_before_is_meant_though_the_time_that_was_told_was_long_on_its_way(
    database: Any, queues: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clocks(monkeypatch)  # which stand, so that what is reckoned stays behind
    our_database().now()
    job = fail(database)
    assert send_back().count(Deed.START_OVER) == (1, 1)
    assert read(job.id).status is Status.QUEUED


def test_a_queue_that_is_emptied_gets_no_jobs_back(database: Any, queues: Any) -> None:
    job = fail(database)
    drains().begin("articles", "olga")
    with pytest.raises(QueueDraining):
        send_back()
    drains().end("articles", "olga")
    assert (read(job.id).status, len(letters())) == (Status.FAILED, 1)


# -- dropped


def test_a_dropped_job_stays_failed_and_is_shown_no_more_but_can_be_started_over(database: Any, queues: Any) -> None:
    job = fail(database)
    assert Round(ARTICLES, drop, operator="olga").run().count(Deed.DROP) == (1, 1)
    dropped = read(job.id)
    assert dropped.status is Status.FAILED
    assert dropped.error is not None
    assert (dropped.error["code"], dropped.error["dropped"]["by"]) == (REFUSED, "olga")
    assert (history(job.id)[-1]["verb"], history(job.id)[-1]["by"]) == ("dismiss", "olga")
    assert (letters(), listed()) == ([], {})
    assert send_back(Selection(job_id=job.id)).count(Deed.START_OVER) == (1, 0)
    assert read(job.id).error is None


def test_a_letter_nobody_could_read_is_dropped_too(database: Any, queues: Any) -> None:
    lay(GARBAGE)
    Round(ARTICLES, drop, operator="olga").run()
    assert letters() == []


# -- whoever dies


@pytest.fixture
def dying_at() -> Iterator[Any]:
    class Died(BaseException): ...

    def at(step: Step) -> type[BaseException]:
        def die(reached: Step, job_id: str) -> None:
            if reached is step:
                steps.listeners.clear()
                raise Died

        steps.listeners.append(die)
        return Died

    yield at
    steps.listeners.clear()


def test_a_redrive_that_dies_before_it_deletes_is_made_up_for_by_the_next(database: Any, queues: Any, dying_at: Any) -> None:
    job = fail(database)
    with pytest.raises(dying_at(Step.SENT)):
        send_back()
    assert (read(job.id).status, len(letters())) == (Status.QUEUED, 1)
    assert send_back().count(Deed.DROP) == (0, 1)
    assert [entry["verb"] for entry in history(job.id)].count("requeue") == 1
    assert letters() == []


def test_a_redrive_that_cannot_send_leaves_the_job_to_the_relay(database: Any, queues: Any, sqs_proxy: SqsProxy) -> None:
    job = fail(database)
    sqs_proxy.fail(actions=["SendMessage"])
    assert send_back().count(Deed.START_OVER) == (1, 1)
    sqs_proxy.well()
    assert (read(job.id).message_id, letters()) == (None, [])
    let_time_pass(database)
    rest.cache_clear()  # the relay is another process, which has not seen SQS away
    Relay(["articles"]).round()
    assert in_queue() == {job.id: 1}


def test_a_drop_that_dies_before_it_deletes_is_made_up_for_by_the_relay(
    database: Any, queues: Any, sqs_proxy: SqsProxy
) -> None:
    fail(database)
    sqs_proxy.fail(actions=["DeleteMessageBatch"])
    with pytest.raises(QueueError):
        Round(ARTICLES, drop, operator="olga").run()
    sqs_proxy.well()
    assert (len(letters()), [*listed()]) == (1, [SETTLED])
    assert drop_settled("articles") == 1
    assert letters() == []


# -- the relay


def test_the_relay_drops_an_order_whose_job_is_there_and_keeps_one_that_was_refused(database: Any, queues: Any) -> None:
    order = {"type": "articles", "userId": "ada", "payload": {"topic": "Bees"}}
    taken = lay(json.dumps(order))
    put(database, Status.COMPLETED, _id=taken)
    refused = lay(json.dumps(order | {"jobId": taken}), Reason="field jobId: there is a job with another payload")
    assert drop_settled("articles") == 1
    assert [letter.message_id for letter in letters()] == [refused]
