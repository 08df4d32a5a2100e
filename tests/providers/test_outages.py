"""A provider that is down: who probes it, when, and what its end does for those who waited."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from time import monotonic
from typing import Any

import pytest

from devstack.ai_service import AiService
from jobs.database import database as our_database
from jobs.errors import NotNow
from jobs.outages import Outage, Outages, outages
from jobs.pace import Pace, pace
from jobs.store import store
from jobs.waiting import OUTAGE
from providers.base import Provider
from providers.choice import provider_named
from providers.outages import ask_leave, is_down, probe_due
from tests.jobs.test_waiting import LATER, park
from tests.other_processes import at_once

KINDS = frozenset({"articles"})
PAST = timedelta(minutes=-1)


@pytest.fixture
def service(database: Any, environment: Callable[..., None]) -> Iterator[AiService]:
    """The default provider's service, well. With so long a lease, no probe comes due by itself."""
    with AiService() as running:
        environment(AI_PROVIDER="service", AI_SERVICE_URL=running.address, LEASE_SECONDS="600")
        yield running


@pytest.fixture
def provider(service: AiService) -> Provider:
    return provider_named()


def opened(name: str = "service") -> Outage:
    return outages().open(name, "no connection", KINDS)


def probe_is_due(database: Any, name: str = "service") -> None:
    """The time of the next probe has come."""
    database.outages.update_one({"_id": name}, {"$set": {"next_probe_at": datetime.now(UTC) + PAST}})
    outages()._seen.forget()


def probes(service: AiService) -> int:
    return len(service.received("/health"))


def test_a_provider_that_nobody_found_down_may_be_asked_and_is_not_probed(provider: Provider, service: AiService) -> None:
    ask_leave(provider)
    assert probes(service) == 0


def test_a_failed_probe_tells_the_whole_fleet(provider: Provider, service: AiService, database: Any) -> None:
    service.behave(status=503)
    assert is_down(provider, monotonic())
    (document,) = database.outages.find()
    assert (document["_id"], document["reason"], document["failures"]) == ("service", "The AI service is down (HTTP 503)", 1)
    ask = (
        "from providers.outages import ask_leave; from providers.choice import provider_named; from jobs.errors import NotNow\n"
        "try: ask_leave(provider_named()); print('null')\n"
        "except NotNow as error: print(json.dumps([error.reason, error.seconds]))"
    )
    ((reason, seconds),) = at_once(1, then=ask)
    assert reason == OUTAGE
    assert pace().round < seconds < pace().lease
    assert probes(service) == 1


def test_a_probe_that_succeeds_tells_nobody_anything(provider: Provider, database: Any) -> None:
    assert not is_down(provider, monotonic())
    assert database.outages.count_documents({}) == 0


def test_calls_that_fail_at_the_same_time_share_one_probe(provider: Provider, service: AiService) -> None:
    service.behave(hang="before", path="/health")
    start = Barrier(8)

    def ask() -> bool:
        start.wait()
        return is_down(provider, monotonic())

    with ThreadPoolExecutor(8) as pool:
        verdicts = [pool.submit(ask) for _ in range(8)]
        service.wait_for(lambda it: probes(service) > 0)
        service.behave()  # breaks the connection of the probe that hangs
        assert all(verdict.result() for verdict in verdicts)
    assert probes(service) == 1


def test_a_probe_that_began_after_a_call_failed_answers_for_it(provider: Provider, service: AiService) -> None:
    failed_at = monotonic()
    assert not is_down(provider, failed_at)
    assert not is_down(provider, failed_at)
    assert probes(service) == 1
    assert not is_down(provider, monotonic())
    assert probes(service) == 2


def test_the_first_to_find_a_provider_down_opens_the_outage_for_all(database: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: outages().open("service", f"reason {n}", KINDS), range(8)))
    assert len({outage.reason for outage in found}) == 1
    assert len({outage.next_probe_at for outage in found}) == 1


def test_of_many_processes_and_threads_one_wins_the_probe(service: AiService, database: Any) -> None:
    opened()
    probe_is_due(database)
    ready = (
        "from concurrent.futures import ThreadPoolExecutor; from jobs.outages import outages\n"
        "pool = ThreadPoolExecutor(4); outages().known()"
    )
    race = "print(json.dumps([won is not None for won in pool.map(lambda _: outages().win_probe('service'), range(4))]))"
    assert sum(sum(answer) for answer in at_once(3, ready=ready, then=race)) == 1


def test_a_probe_is_nobodys_before_its_time(service: AiService) -> None:
    opened()
    assert outages().win_probe("service") is None


def test_a_prober_that_dies_blocks_the_others_only_so_long(service: AiService, database: Any) -> None:
    opened()
    probe_is_due(database)
    die = (
        "import os; from jobs.outages import outages; won = outages().win_probe('service')\n"
        "print(json.dumps(won.token), flush=True); os._exit(0)"
    )
    (token,) = at_once(1, then=die)
    assert outages().win_probe("service") is None
    database.outages.update_one({}, {"$set": {"probing.until": datetime.now(UTC) + PAST}})
    won = outages().win_probe("service")
    assert won is not None
    assert won.token != token


def test_a_prober_that_was_too_slow_decides_nothing(service: AiService, database: Any) -> None:
    opened()
    probe_is_due(database)
    slow = outages().win_probe("service")
    assert slow is not None
    database.outages.update_one({}, {"$set": {"probing.until": datetime.now(UTC) + PAST}})
    assert outages().win_probe("service") is not None
    outages().close(slow)
    outages().put_off(slow, "too late")
    (document,) = database.outages.find()
    assert (document["reason"], document["failures"]) == ("no connection", 1)


def test_each_failed_probe_puts_the_next_off_further_up_to_two_leases(database: Any) -> None:
    times = Outages(our_database(), Pace.of(30))
    outage = times.open("service", "no connection", KINDS)
    waits = [(outage.next_probe_at - outage.seen_at).total_seconds()]
    for _ in range(6):
        database.outages.update_one({}, {"$set": {"next_probe_at": datetime.now(UTC) + PAST}})
        won = times.win_probe("service")
        assert won is not None
        times.put_off(won, "no connection")
        document = database.outages.find_one()
        waits.append((document["next_probe_at"] - document["seen_at"]).total_seconds())
    for wait, most in zip(waits, (5, 10, 20, 40, 60, 60, 60), strict=True):
        assert most * 0.75 <= wait <= most


def test_the_caller_who_makes_the_probe_goes_on_when_it_succeeds(provider: Provider, service: AiService, database: Any) -> None:
    opened()
    with pytest.raises(NotNow):
        ask_leave(provider)
    assert probes(service) == 0
    probe_is_due(database)
    ask_leave(provider)
    assert probes(service) == 1
    assert database.outages.count_documents({}) == 0


def test_the_caller_whose_probe_fails_waits_for_the_next(provider: Provider, service: AiService, database: Any) -> None:
    service.behave(status=500)
    opened()
    probe_is_due(database)
    with pytest.raises(NotNow):
        ask_leave(provider)
    (document,) = database.outages.find()
    assert (document["failures"], document["probing"]) == (2, None)
    assert document["reason"] == "The AI service is failing (HTTP 500)"


def test_a_recovery_makes_the_waiting_jobs_due_within_a_few_seconds(service: AiService, database: Any) -> None:
    opened()
    waited, other = park(database), park(database, provider="openai")
    probe_is_due(database)
    probe_due()
    job = store().get(waited)
    assert job is not None
    assert job.not_before is not None
    assert job.not_before < datetime.now(UTC) + timedelta(seconds=pace().lease)
    unmoved = store().get(other)
    assert unmoved is not None
    assert unmoved.version == 1


def test_while_probes_fail_the_waiting_jobs_stay_parked_until_after_the_next(service: AiService, database: Any) -> None:
    service.behave(status=503)
    opened()
    waited = park(database)
    probe_is_due(database)
    probe_due()
    job = store().get(waited)
    (document,) = database.outages.find()
    assert job is not None
    assert job.not_before is not None
    assert job.version == 2
    assert document["next_probe_at"] < job.not_before < LATER


def test_a_round_probes_only_what_is_due_and_only_what_it_can_ask(service: AiService, database: Any) -> None:
    opened()
    opened("openai")  # whose key this process does not have
    probe_is_due(database, "openai")
    probe_due()
    assert probes(service) == 0
    assert database.outages.count_documents({}) == 2
    probe_is_due(database)
    probe_due()
    assert [document["_id"] for document in database.outages.find()] == ["openai"]
