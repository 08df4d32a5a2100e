"""How often providers are asked by the whole fleet."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.errors import Cancelled, NotNow
from jobs.waiting import RATE_LIMIT, waiting
from providers.rates import LONGEST_HOLD_SECONDS, rates
from settings import SettingsError, settings
from tests.jobs.test_waiting import park
from tests.other_processes import at_once
from tests.providers.calls import RecordingCall
from tests.workers import wait_for

READY = """
from concurrent.futures import ThreadPoolExecutor
from jobs.errors import NotNow
from providers.rates import rates
from tests.providers.calls import RecordingCall

def taken(_):
    count = 0
    try:
        while True:
            rates().take("local", RecordingCall())
            count += 1
    except NotNow:
        return count

rates()._held()
"""


@pytest.mark.parametrize("told", ["60", "sixty/minute", "60/fortnight", "0/minute", "60/minute,", "1000000/day", "-1/second"])
def test_a_rate_that_is_none_stops_the_process_with_a_sentence(told: str, environment: Callable[..., None]) -> None:
    environment(AI_RATE_LIMIT=told)
    with pytest.raises(SettingsError, match=rf"^AI_RATE_LIMIT='{told}' can't be used: (write|a rate is) "):
        settings()


def test_without_a_limit_nothing_is_counted(database: Any) -> None:
    for _ in range(50):
        rates().take("local", RecordingCall())
    assert database.rate_windows.count_documents({}) == 0


def test_all_processes_together_take_exactly_what_the_limit_allows(database: Any, environment: Callable[..., None]) -> None:
    environment(AI_RATE_LIMIT="50/hour")
    race = "print(sum(ThreadPoolExecutor(4).map(taken, range(4))))"
    counts = at_once(2, ready=READY, then=race)
    assert sum(counts) == 50
    (window,) = database.rate_windows.find()
    assert len(window["entries"]) == 50


def test_whoever_finds_no_place_is_told_when_there_is_one(database: Any, environment: Callable[..., None]) -> None:
    environment(AI_RATE_LIMIT="2/minute")
    rates().take("local", RecordingCall())
    rates().take("local", RecordingCall())
    with pytest.raises(NotNow) as told:
        rates().take("local", RecordingCall())
    assert told.value.reason == RATE_LIMIT
    assert told.value.seconds is not None
    assert 0 < told.value.seconds < 60 + settings().lease_seconds
    age_entries(database, 61)
    rates().take("local", RecordingCall())


def age_entries(database: Any, seconds: float) -> None:
    """All calls so far were made so many seconds earlier."""
    for window in database.rate_windows.find():
        entries = [entry - timedelta(seconds=seconds) for entry in window["entries"]]
        database.rate_windows.update_one({"_id": window["_id"]}, {"$set": {"entries": entries}})


def test_a_call_leaves_the_window_when_its_time_is_over_and_not_before(database: Any, environment: Callable[..., None]) -> None:
    environment(AI_RATE_LIMIT="2/hour")
    rates().take("local", RecordingCall())
    age_entries(database, 3590)
    rates().take("local", RecordingCall())
    age_entries(database, 20)
    rates().take("local", RecordingCall())
    with pytest.raises(NotNow):
        rates().take("local", RecordingCall())


def test_jobs_that_wait_for_a_place_wait_for_one_each(database: Any, environment: Callable[..., None]) -> None:
    environment(AI_RATE_LIMIT="1/minute", AI_PROVIDER="local")
    waiting().count(RATE_LIMIT, "local", most=1)  # makes the collection
    rates().take("local", RecordingCall())
    for _ in range(5):
        park(database, RATE_LIMIT)
    with pytest.raises(NotNow) as told:
        rates().take("local", RecordingCall())
    assert told.value.seconds is not None
    assert told.value.seconds > 5 * 60


def test_a_short_wait_is_waited_in_place_and_a_cancel_ends_it(database: Any, environment: Callable[..., None]) -> None:
    environment(AI_RATE_LIMIT="1/second")
    call = RecordingCall()

    def took_until_paused() -> bool:  # where a second has passed between two of them, there is nothing to wait for
        rates().take("local", call)
        return call.checks >= 2

    wait_for(took_until_paused, "a pause on behalf of the call")

    def took_until_cancelled() -> bool:
        rates().take("local", RecordingCall(cancel_at_check=1))
        return False

    with pytest.raises(Cancelled):
        wait_for(took_until_cancelled, "a pause that the cancel ends")


def test_of_several_limits_each_holds(database: Any, environment: Callable[..., None]) -> None:
    environment(AI_RATE_LIMIT="3/hour,2/second")
    for _ in range(3):
        rates().take("local", RecordingCall())
    with pytest.raises(NotNow):
        rates().take("local", RecordingCall())


def test_each_provider_and_model_has_a_window_of_its_own(database: Any, environment: Callable[..., None]) -> None:
    environment(AI_RATE_LIMIT="1/hour")
    for provider, model in (("local", None), ("local", "large"), ("service", None)):
        rates().take(provider, RecordingCall(model_id=model))
        with pytest.raises(NotNow):
            rates().take(provider, RecordingCall(model_id=model))


def test_a_worker_whose_clock_is_wrong_neither_shuts_nor_opens_the_window(
    database: Any, environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(AI_RATE_LIMIT="2/minute")
    true_time = time.time
    for seconds in (3600, -3600):
        with monkeypatch.context() as clock:
            clock.setattr(time, "time", lambda ahead=seconds: true_time() + ahead)
            rates().take("local", RecordingCall())
    (window,) = database.rate_windows.find()
    assert all(abs(entry - datetime.now(UTC)) < timedelta(minutes=1) for entry in window["entries"])
    for seconds in (3600, -3600, 0):
        with monkeypatch.context() as clock:
            clock.setattr(time, "time", lambda ahead=seconds: true_time() + ahead)
            with pytest.raises(NotNow) as told:
                rates().take("local", RecordingCall())
        assert told.value.seconds is not None
        assert told.value.seconds < 120


def test_nobody_asks_before_the_time_that_a_provider_asked_for(database: Any) -> None:
    told = rates().hold("local", "large", 4000)
    assert told.reason == RATE_LIMIT
    with pytest.raises(NotNow) as here:
        rates().await_hold("local", RecordingCall(model_id="large"))
    elsewhere = at_once(
        1,
        ready=READY,
        then="try: rates().await_hold('local', RecordingCall(model_id='large')); print('null')\n"
        "except NotNow as error: print(json.dumps(error.seconds))",
    )
    for seconds in (told.seconds, here.value.seconds, *elsewhere):
        assert seconds is not None
        assert 3000 < seconds < 4000 + settings().lease_seconds
    rates().await_hold("local", RecordingCall(model_id="small"))
    rates().await_hold("service", RecordingCall(model_id="large"))


def test_of_two_times_asked_for_the_longer_holds(database: Any) -> None:
    rates().hold("local", None, 500)
    rates().hold("local", None, 5)
    with pytest.raises(NotNow) as told:
        rates().await_hold("local", RecordingCall())
    assert told.value.seconds is not None
    assert told.value.seconds > 400


def test_a_time_asked_for_ends(database: Any) -> None:
    rates().hold("local", None, 500)
    database.rate_holds.update_many({}, {"$set": {"until": datetime.now(UTC)}})
    rates()._held.forget()
    rates().await_hold("local", RecordingCall())


def test_a_senseless_time_asked_for_is_a_day_at_most(database: Any) -> None:
    told = rates().hold("local", None, 1e300)
    assert told.seconds is not None
    assert told.seconds < LONGEST_HOLD_SECONDS + settings().lease_seconds
