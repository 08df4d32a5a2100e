"""What generations cost: entered once, summed up by job and day, and no user spends more in a day than he may."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.counters import counted
from jobs.document import Job
from jobs.errors import NotNow
from jobs.spending import spending, usage_by_day
from jobs.store import store
from settings import SettingsError, settings
from tests.jobs.jobs import TOKEN, document
from tests.workers import wait_for

PRICES = '{"openai/big": {"input_tokens": 0.5, "output_tokens": 2}, "openai/*": {"images": 3}, "local/*": {"seconds": 0.1}}'


@pytest.fixture(autouse=True)
def priced(database: Any, environment: Any) -> None:
    """And it stays the same day, by MongoDB's clock, for as long as a test takes."""
    environment(PRICES=PRICES)
    wait_for(
        lambda: (datetime.now(UTC) + timedelta(minutes=1)).date() == datetime.now(UTC).date(),
        "midnight to pass",
        patience_seconds=120,
    )


def job(database: Any, user_id: str = "ada", **fields: Any) -> Job:
    made = document(**fields) | {"user_id": user_id}
    database.jobs.insert_one(made)
    found = store().get(made["_id"])
    assert found is not None
    return found


def spend(of: Job, cost: float, key: str = "1") -> None:
    spending().enter(f"{of.id}:{key}", of, "openai", "big", {"input_tokens": round(cost * 2)})


def test_a_generation_entered_twice_costs_once(database: Any) -> None:
    counted()
    database.counters.delete_many({})
    ours = job(database)
    spend(ours, 4)
    spend(ours, 4)
    spending().enter(f"{ours.id}:2", ours, "openai", "other", {"images": 1, "output_tokens": 9})
    total = spending().total_of(ours.id)
    assert total is not None
    assert (total["generations"], total["input_tokens"], total["images"], total["cost"]) == (2, 8, 1, 7)
    assert (total["provider"], total["model"]) == ("openai", "other")
    assert [(each.n, dict(each.labels)) for each in counted() if each.name == "provider_cost"] == [
        (7, {"provider": "openai", "kind": ours.kind})
    ]


def test_without_a_price_no_cost_is_known(database: Any) -> None:
    ours = job(database)
    spending().enter("k", ours, "service", "", {"images": 1})
    total = spending().total_of(ours.id)
    assert total is not None
    assert total["cost"] is None


def test_a_jobs_usage_counts_all_attempts_and_never_falls(database: Any) -> None:
    ours = job(database, status="processing")
    spend(ours, 1, "first attempt")
    spending().account(ours.id)
    assert store().fail(ours.id, TOKEN, code="internal", message="", retryable=False)
    spend(ours, 2, "late, of a worker that lost its lease")
    spending().account(ours.id)
    spending().account(ours.id)
    now = store().get(ours.id)
    assert now is not None
    assert now.usage is not None
    assert (now.usage["generations"], now.usage["cost"], now.status) == (2, 3, "failed")


def test_usage_by_day_is_of_one_user_or_of_all(database: Any) -> None:
    ours, theirs = job(database), job(database, "bob")
    spend(ours, 1), spend(theirs, 2), spend(ours, 4, "2")
    spend(ours, 8, "long ago")
    then = (datetime.now(UTC) - timedelta(days=40)).strftime("%Y-%m-%d")
    database.usage.update_one({"_id": f"{ours.id}:long ago"}, {"$set": {"day": then}})
    assert [(day.user_id, day.cost, day.generations) for day in usage_by_day(None, 30)] == [("ada", 5, 2), ("bob", 2, 1)]
    assert [(day.user_id, day.cost) for day in usage_by_day("ada", 41)] == [("ada", 5), ("ada", 8)]


def test_who_has_spent_what_he_may_waits_until_midnight_and_others_do_not(database: Any, environment: Any) -> None:
    environment(PRICES=PRICES, USER_SPENDING_LIMIT="5")
    ours, theirs = job(database), job(database, "bob")
    spend(ours, 4)
    spending().ask_leave(ours, "openai")
    spend(ours, 1, "2")
    with pytest.raises(NotNow) as told:
        spending().ask_leave(ours, "openai")
    assert told.value.reason == "spending_limit"
    assert told.value.seconds is not None
    until = datetime.now(UTC) + timedelta(seconds=told.value.seconds)
    assert (until + timedelta(seconds=60)).hour == 0
    spending().ask_leave(theirs, "openai")
    spending().ask_leave(ours, "service")  # which costs nothing


def test_a_raised_limit_wakes_the_jobs_that_waited_for_it(database: Any, environment: Any) -> None:
    environment(PRICES=PRICES, USER_SPENDING_LIMIT="5")
    ours = job(database, status="processing")
    spend(ours, 6)
    store().park(ours.id, TOKEN, reason="spending_limit", seconds=3600)
    spending().wake_affordable()
    still = store().get(ours.id)
    environment(PRICES=PRICES, USER_SPENDING_LIMIT="7")
    spending().wake_affordable()
    woken = store().get(ours.id)
    assert still is not None
    assert woken is not None
    assert still.not_before is not None
    assert woken.not_before is not None
    assert still.not_before > datetime.now(UTC) >= woken.not_before - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("prices", "fault"),
    [
        ("{", "PRICES='{' can't be used: it is not JSON"),
        ("[]", "write an object"),
        ('{"openai": {}}', "'openai' names no provider and model"),
        ('{"openai/*": {}}', "'openai/*' has no prices"),
        ('{"openai/*": {"words": 1}}', "'openai/*' has a price for 'words'; there are input_tokens"),
        ('{"openai/*": {"images": "1"}}', "'images' of 'openai/*' costs '1': write a number"),
        ('{"openai/*": {"images": -1}}', "write a number, 0 or more"),
    ],
)
def test_prices_that_can_not_be_used_are_named(environment: Any, prices: str, fault: str) -> None:
    environment(PRICES=prices)
    with pytest.raises(SettingsError) as told:
        settings()
    assert fault in str(told.value)


def test_a_spending_limit_without_prices_is_a_mistake(environment: Any) -> None:
    environment(PRICES=None, USER_SPENDING_LIMIT="5")
    with pytest.raises(SettingsError, match="USER_SPENDING_LIMIT needs PRICES"):
        settings()
