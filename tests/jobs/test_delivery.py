"""The table of a message whose job could not be claimed, row by row."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from jobs.delivery import Answer, Came, ComeAgain, Drop, End, Replace, SetAside, StartOver, answer, answer_in_order
from jobs.document import Job
from jobs.life import FINAL
from tests.jobs.jobs import NOW, document


def job(status: str, **fields: Any) -> Job:
    return Job.from_document(document(status, **fields))


def leased(until: Any) -> dict[str, Any]:
    return {"lease": {"token": "t", "worker": "w", "expires_at": until}}


def came(message_id: str = "named", **fields: Any) -> Came:
    return Came(message_id=message_id, kind="articles", **{"sent_at": NOW, "written_at": NOW, **fields})


NAMED: dict[str, Any] = {"message_id": "named"}
IN_A_MINUTE, A_MINUTE_AGO, AN_HOUR_AGO = NOW + timedelta(minutes=1), NOW - timedelta(minutes=1), NOW - timedelta(hours=1)


@pytest.mark.parametrize(
    ("found", "named", "copy"),
    [
        pytest.param(job("processing", **NAMED, **leased(IN_A_MINUTE)), ComeAgain(60), Drop(), id="leased by somebody"),
        pytest.param(job("retrying", **NAMED, not_before=IN_A_MINUTE), ComeAgain(60), Drop(), id="retrying, too early"),
        pytest.param(job("queued", **NAMED, not_before=IN_A_MINUTE), ComeAgain(60), Drop(), id="parked, too early"),
        pytest.param(job("queued", not_before=IN_A_MINUTE), Drop(), Drop(), id="parked, its message let go"),
        pytest.param(job("scheduled", not_before=A_MINUTE_AGO), Drop(), Drop(), id="scheduled: the relay's"),
        pytest.param(job("retrying", **NAMED, not_before=A_MINUTE_AGO), ComeAgain(1), ComeAgain(1), id="due since a moment"),
        pytest.param(
            job("processing", **NAMED, **leased(A_MINUTE_AGO)), ComeAgain(1), ComeAgain(1), id="its lease ran out a moment ago"
        ),
        pytest.param(job("completed", **NAMED), Drop(), Drop(), id="completed"),
        pytest.param(job("cancelled", **NAMED), Drop(), Drop(), id="cancelled"),
        pytest.param(job("expired", **NAMED), Drop(), Drop(), id="expired"),
        pytest.param(job("failed", **NAMED), Drop(), Drop(), id="failed"),
        pytest.param(job("queued", **NAMED, cancel_requested=NOW), End("cancel"), End("cancel"), id="cancel asked, waiting"),
        pytest.param(
            job("processing", **NAMED, cancel_requested=NOW, **leased(A_MINUTE_AGO)),
            *(End("cancel"), End("cancel")),
            id="cancel asked, its worker dead",
        ),
        pytest.param(
            job("processing", **NAMED, cancel_requested=NOW, **leased(IN_A_MINUTE)),
            *(ComeAgain(60), Drop()),
            id="cancel asked, running",
        ),
        pytest.param(job("queued", **NAMED, expires_at=A_MINUTE_AGO), End("expire"), End("expire"), id="unstarted and expired"),
        pytest.param(
            job("retrying", **NAMED, expires_at=A_MINUTE_AGO, started_at=AN_HOUR_AGO, not_before=IN_A_MINUTE),
            *(ComeAgain(60), Drop()),
            id="started before it expired",
        ),
        pytest.param(job("retrying", **NAMED, attempts=3), End("give_up"), End("give_up"), id="attempts used up"),
        pytest.param(
            job("processing", **NAMED, crashes=4, **leased(A_MINUTE_AGO)), End("give_up"), End("give_up"), id="the fifth crash"
        ),
        pytest.param(
            job("processing", **NAMED, crashes=4, **leased(IN_A_MINUTE)),
            ComeAgain(60),
            Drop(),
            id="after four crashes, running",
        ),
        pytest.param(None, SetAside("no job has this id"), SetAside("no job has this id"), id="unknown"),
    ],
)
def test_the_table(found: Job | None, named: Answer, copy: Answer) -> None:
    assert answer(found, came("named"), NOW) == named
    assert answer(found, came("copy"), NOW) == copy


def test_a_message_of_another_kind_is_set_aside() -> None:
    said = SetAside("field type is 'articles', but the job's is 'images'")
    assert answer(job("queued", kind="images"), came(), NOW) == said


@pytest.mark.parametrize(
    "waiting", [job("retrying", **NAMED, not_before=IN_A_MINUTE), job("processing", **NAMED, **leased(IN_A_MINUTE))]
)
def test_a_message_is_never_put_back_on_its_last_receive(waiting: Job) -> None:
    assert answer(waiting, came(is_last=True), NOW) == Replace()


def test_while_nothing_is_taken_over_a_dead_workers_message_comes_again_after_that() -> None:
    assert answer(job("processing", **NAMED, **leased(A_MINUTE_AGO)), came(), NOW, quiet_seconds=12.4) == ComeAgain(13)


FIVE_MINUTES_AGO = NOW - timedelta(minutes=5)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(came("new", is_dead_letter=True), StartOver(FIVE_MINUTES_AGO), id="our dead letter, moved back"),
        pytest.param(came("new", written_at=AN_HOUR_AGO), StartOver(FIVE_MINUTES_AGO), id="one that SQS had moved, moved back"),
        pytest.param(came("new", written_at=NOW - timedelta(seconds=50)), Drop(), id="a copy sent after the end"),
        pytest.param(came("new", written_at=AN_HOUR_AGO, sent_at=AN_HOUR_AGO), Drop(), id="a copy from before the end"),
        pytest.param(came("new", written_at=None), Drop(), id="a copy that does not say when it was written"),
        pytest.param(came("named", is_dead_letter=True), Drop(), id="the named message"),
    ],
)
def test_a_dead_letter_that_was_moved_back_starts_the_failed_job_over(message: Came, expected: Answer) -> None:
    failed = job("failed", **NAMED, finished_at=FIVE_MINUTES_AGO)
    assert answer(failed, message, NOW) == expected


@pytest.mark.parametrize("status", sorted(FINAL - {"failed"}))
def test_a_dead_letter_of_a_job_that_did_not_fail_starts_nothing(status: str) -> None:
    assert answer(job(status, **NAMED), came("new", is_dead_letter=True), NOW) == Drop()


ANOTHER: dict[str, Any] = {"message_id": "another"}
IN_AN_HOUR = NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("own", "oldest", "expected"),
    [
        pytest.param(job("completed"), None, Drop(), id="nothing is open"),
        pytest.param(job("queued"), job("processing", **ANOTHER, **leased(IN_A_MINUTE)), ComeAgain(60), id="the oldest runs"),
        pytest.param(job("completed"), job("retrying", **ANOTHER, not_before=IN_A_MINUTE), ComeAgain(60), id="it is too early"),
        pytest.param(job("queued"), job("retrying", not_before=IN_AN_HOUR), ComeAgain(900), id="much too early"),
        pytest.param(job("queued"), job("queued", **ANOTHER), ComeAgain(1), id="somebody was quicker"),
        pytest.param(job("queued"), job("queued", cancel_requested=NOW), End("cancel"), id="the oldest is to be cancelled"),
        pytest.param(job("queued"), job("queued", expires_at=A_MINUTE_AGO), End("expire"), id="the oldest has expired"),
        pytest.param(job("queued"), job("retrying", attempts=3), End("give_up"), id="the oldest has no attempt left"),
        pytest.param(None, None, SetAside("no job has this id"), id="unknown"),
    ],
)
def test_where_an_order_is_kept_a_message_waits_for_the_oldest_job_of_its_group(
    own: Job | None, oldest: Job | None, expected: Answer
) -> None:
    assert answer_in_order(own, oldest, came(), NOW) == expected


def test_a_groups_message_on_its_last_receive_is_replaced() -> None:
    waiting = job("retrying", **ANOTHER, not_before=IN_A_MINUTE)
    assert answer_in_order(job("completed"), waiting, came(is_last=True), NOW) == Replace()


def test_a_dead_letter_moved_back_starts_its_job_over_though_others_of_its_group_are_open() -> None:
    failed = job("failed", **NAMED, finished_at=FIVE_MINUTES_AGO)
    assert answer_in_order(failed, job("queued"), came("new", is_dead_letter=True), NOW) == StartOver(FIVE_MINUTES_AGO)
    assert answer_in_order(failed, job("queued"), came(), NOW) == ComeAgain(1)
