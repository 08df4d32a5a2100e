"""Writes of many threads in one request: who shares it, whose fault is whose, and that each job's condition stays its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import pytest

from jobs import gathering as gathering_module
from jobs.database import DatabaseUnavailable
from jobs.document import Job
from jobs.gathering import MOST, Gathering
from jobs.life import Status
from jobs.store import store
from tests.jobs.waiting import put, read
from tests.workers import wait_for


class Requests:
    """What is asked, request by request; the first waits to be let go."""

    def __init__(self, answer: Callable[[Sequence[int]], Sequence[int]]) -> None:
        self.made: list[list[int]] = []
        self.go_on = Event()
        self._answer = answer

    def __call__(self, wanted: Sequence[int]) -> Sequence[int]:
        self.made.append(list(wanted))
        if len(self.made) == 1:
            assert self.go_on.wait(20)
        return self._answer(wanted)


def asked(requests: Requests, *, behind: int) -> list[int | BaseException]:
    """What 0 is told, and those that ask while it is asked for: 1 to `behind`."""
    gathering = Gathering(requests)

    def ask(n: int) -> int | BaseException:
        try:
            return gathering.ask(n)
        except BaseException as error:  # noqa: BLE001 - the test judges it
            return error

    with ThreadPoolExecutor(behind + 1) as pool:
        first = pool.submit(ask, 0)
        wait_for(lambda: requests.made, "the first to be asked for")
        others = [pool.submit(ask, n) for n in range(1, behind + 1)]
        wait_for(lambda: len(gathering._waiting) == behind, "the others to gather")
        requests.go_on.set()
        return [each.result(20) for each in (first, *others)]


def test_who_comes_while_a_request_is_under_way_shares_the_next_with_the_others() -> None:
    requests = Requests(lambda wanted: [n * n for n in wanted])
    assert asked(requests, behind=MOST + 5) == [n * n for n in range(MOST + 6)]
    assert [len(each) for each in requests.made] == [1, MOST, 5]


def test_as_many_requests_as_there_may_be_are_under_way_at_once() -> None:
    both, under_way = Barrier(2), []

    def answer(wanted: Sequence[int]) -> Sequence[int]:
        under_way.append([*wanted])
        both.wait(20)  # or neither comes to its end
        return wanted

    gathering = Gathering(answer, at_once=2)
    with ThreadPoolExecutor(2) as pool:
        assert [*pool.map(gathering.ask, range(2))] == [0, 1]
    assert sorted(under_way) == [[0], [1]]


def test_a_fault_is_told_to_the_one_whose_it_is() -> None:
    def answer(wanted: Sequence[int]) -> Sequence[int]:
        if 2 in wanted:
            raise ValueError("two is none")
        return wanted

    told = asked(Requests(answer), behind=3)
    assert (told[0], told[1], told[3]) == (0, 1, 3)
    assert isinstance(told[2], ValueError)


def test_with_mongodb_away_everybody_hears_so_after_one_request() -> None:
    def answer(wanted: Sequence[int]) -> Sequence[int]:
        raise DatabaseUnavailable

    requests = Requests(answer)
    assert all(isinstance(each, DatabaseUnavailable) for each in asked(requests, behind=4))
    assert len(requests.made) == 2


def test_who_asked_lately_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering_module, "LATELY_SECONDS", 60)
    made: list[int] = []

    def answer(wanted: Sequence[int]) -> Sequence[int]:
        made.append(len(wanted))
        return wanted

    gathering = Gathering(answer)
    meeting = Barrier(5)

    def ask_by_turns(n: int) -> None:
        for _ in range(3):
            gathering.ask(n)
            if meeting.wait(20) == 0:  # one of them, while the others wait for it
                monkeypatch.setattr(gathering_module, "LINGER_SECONDS", 20)
            meeting.wait(20)

    with ThreadPoolExecutor(5) as pool:
        for each in [pool.submit(ask_by_turns, n) for n in range(5)]:
            each.result(60)
    assert made[-2:] == [5, 5]


def test_who_does_not_come_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering_module, "LATELY_SECONDS", 60)
    gathering = Gathering[int, int](lambda wanted: wanted)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gathering.ask, 1).result(20)
    assert gathering.ask(2) == 2


def test_who_asks_alone_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering_module, "LINGER_SECONDS", 3_600)
    gathering = Gathering[int, int](lambda wanted: wanted)
    assert [gathering.ask(n) for n in range(3)] == [0, 1, 2]


def test_nobody_waits_for_one_who_broke_off_and_those_he_asked_for_too_ask_again() -> None:
    class Died(BaseException):
        pass

    def answer(wanted: Sequence[int]) -> Sequence[int]:
        if len(requests.made) == 2:
            raise Died
        return wanted

    requests = Requests(answer)
    told = asked(requests, behind=MOST + 1)
    assert [len(each) for each in requests.made] == [1, MOST, 1]
    assert Counter(map(type, told)) == {int: 2, Died: 1, DatabaseUnavailable: MOST - 1}


def claimed(ids: Sequence[str], token: str = "token") -> list[Job | None]:
    """Each claimed by a thread of its own, at the same time."""

    def claim(numbered: tuple[int, str]) -> Job | None:
        n, job_id = numbered
        return store().claim(job_id, kind="articles", token=f"{token}-{n}", worker=f"w-{n}", message_id=f"m-{n}")

    with ThreadPoolExecutor(len(ids)) as pool:
        return list(pool.map(claim, enumerate(ids)))


def test_jobs_claimed_together_have_each_their_own_lease_and_message(database: Any) -> None:
    ids = [put(database).id for _ in range(30)]
    unfit = [put(database, "completed").id, put(database, attempts=3).id, put(database, kind="images").id, "nobody"]
    jobs = claimed([*ids, *unfit])
    assert jobs[30:] == [None] * 4
    for n, (job_id, job) in enumerate(zip(ids, jobs[:30], strict=True)):
        assert job is not None
        assert job.lease is not None
        assert (job.id, job.lease.token, job.lease.worker, job.message_id) == (job_id, f"token-{n}", f"w-{n}", f"m-{n}")
        assert (job.status, job.attempts, job.history[-1]["worker"]) == (Status.PROCESSING, 1, f"w-{n}")


def test_of_many_claims_for_few_jobs_one_each_is_granted(database: Any) -> None:
    ids = [put(database).id for _ in range(5)]
    granted = [job for job in claimed(ids * 8) if job is not None]
    assert sorted(job.id for job in granted) == sorted(ids)
    assert {read(job_id).attempts for job_id in ids} == {1}


def test_jobs_completed_together_have_each_their_own_result_and_who_lost_its_lease_has_none(database: Any) -> None:
    ids = [put(database).id for _ in range(30)]
    claimed(ids)
    database.jobs.update_one({"_id": ids[7]}, {"$set": {"lease.token": "another"}})

    def complete(n: int) -> bool:
        effects = [{"key": f"k-{n}"}] if n % 2 else []
        return store().complete(
            ids[n], f"token-{n}", result={"n": n}, usage={"$t": n}, effects=effects, related_jobs=[f"r-{n}"]
        )

    for _ in range(2):  # the second time as after a lost answer
        with ThreadPoolExecutor(30) as pool:
            done = list(pool.map(complete, range(30)))
        assert [n for n, is_done in enumerate(done) if not is_done] == [7]
    assert read(ids[7]).status is Status.PROCESSING
    for n in {*range(30)} - {7}:
        job = read(ids[n])
        assert (job.status, job.result, job.usage, job.related_jobs) == (Status.COMPLETED, {"n": n}, {"$t": n}, [f"r-{n}"])
        assert [each["key"] for each in job.effects] == ([f"k-{n}"] if n % 2 else [])
        assert [each["verb"] for each in job.history] == ["claim", "complete"]


@pytest.mark.parametrize("ours_first", [True, False])
def test_of_two_attempts_that_complete_a_job_at_the_same_time_the_one_with_the_lease_does(
    ours_first: bool, database: Any
) -> None:
    job_id = put(database).id
    store().claim(job_id, kind="articles", token="ours", worker="w", message_id=None)
    tokens = ["ours", "lost"] if ours_first else ["lost", "ours"]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda token: store().complete(job_id, token, result={"by": token}, usage={}), tokens))
    assert done == [token == "ours" for token in tokens]
    assert read(job_id).result == {"by": "ours"}
