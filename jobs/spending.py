"""What generations used and cost, by user and day; and that nobody spends more in a day than he may (`USER_SPENDING_LIMIT`).

The ledger is the collection `usage`: an entry for each generation that a provider finished, whatever became of its attempt,
written before anything is done with what was generated. An entry has a key, so that writing it again changes nothing; a job's
own `usage` is the sum of its entries. The limit is looked at before each generation, and nothing is reserved, since nobody
knows what a generation costs before it is done. So those that a user's jobs run at the same time may together pass it by what
they cost; how many these are is what `USER_RUNNING_JOBS` bounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from pymongo.collection import Collection

from jobs import prices
from jobs.counters import add
from jobs.database import Document, available, database
from jobs.document import Job
from jobs.errors import NotNow
from jobs.expressions import NOW, literal, new_or_kept
from jobs.life import Status
from jobs.pace import pace
from jobs.verbs import Verbs
from settings import settings

SPENDING_LIMIT = "spending_limit"
"""What a job waits for whose user has spent what he may."""
AMOUNTS = ("input_tokens", "output_tokens", "images", "video_seconds", "seconds")
DAY = {"$dateToString": {"date": NOW, "format": "%Y-%m-%d"}}


@dataclass(frozen=True, kw_only=True)
class DayOfUsage:
    """What a user's jobs of a kind used of a model in a day (UTC, `2026-01-15`). `cost` None: no price is known."""

    day: str
    user_id: str
    kind: str
    provider: str
    model: str
    generations: int
    input_tokens: int
    output_tokens: int
    images: int
    video_seconds: float
    seconds: float
    cost: float | None


class Spending(Verbs):
    """Over one database. Methods raise `DatabaseUnavailable` when MongoDB is away."""

    # -- the ledger

    def enter(self, key: str, job: Job, provider: str, model: str, used: Mapping[str, float]) -> None:
        """Enter what a generation used. With a key that stands there already it changes nothing."""
        cost = prices.cost_of(provider, model, used)
        entry: Document = {"job_id": job.id, "user_id": job.user_id, "kind": job.kind, "provider": provider, "model": model}
        entry |= {"_id": key, "cost": cost, **{amount: used.get(amount, 0) for amount in AMOUNTS}}
        with available():
            written = self._ledger.update_one({"_id": key}, new_or_kept(entry, created_at=NOW, day=DAY), upsert=True)
        if cost and written.upserted_id is not None:
            add("provider_cost", cost, provider=provider, kind=job.kind)

    def total_of(self, job_id: str) -> Mapping[str, Any] | None:
        """What all of a job's generations used, as its document says it; None where there was none."""
        in_order: list[Document] = [{"$match": {"job_id": job_id}}, {"$sort": {"created_at": 1}}]
        last = {"provider": {"$last": "$provider"}, "model": {"$last": "$model"}}
        with available():
            total = next(self._ledger.aggregate([*in_order, *_summed(None, **last)]), None)
        return {name: value for name, value in total.items() if name != "_id"} if total else None

    def account(self, job_id: str) -> None:
        """Bring a job's `usage` up to the ledger, whatever state the job is in. It never falls."""
        total = self.total_of(job_id)
        if total is None:
            return
        knows_less = {"_id": job_id, "usage.generations": {"$not": {"$gte": total["generations"]}}}
        changes = {"version": {"$add": ["$version", 1]}, "usage": literal(total)}
        with available():
            self._jobs.update_one(self._guard("account", knows_less), [{"$set": changes}])

    def by_day(self, user_id: str | None, days: int) -> list[DayOfUsage]:
        """The last so many days, today first; of one user, or of all."""
        since = _day(self._source.now() - timedelta(days=days - 1))
        wanted: Document = {"day": {"$gte": since}} | ({} if user_id is None else {"user_id": user_id})
        alike = {name: f"${name}" for name in ("day", "user_id", "kind", "provider", "model")}
        order: Document = {"_id.day": -1, "_id.user_id": 1, "_id.kind": 1, "_id.provider": 1, "_id.model": 1}
        with available():
            found = [*self._ledger.aggregate([{"$match": wanted}, *_summed(alike), {"$sort": order}])]
        return [DayOfUsage(**each.pop("_id"), **each) for each in found]

    # -- the limit

    def spent_today(self, user_id: str) -> float:
        """What the user's jobs have cost since midnight UTC."""
        return self._spent_today([user_id]).get(user_id, 0.0)

    def _spent_today(self, user_ids: Sequence[str]) -> dict[str, float]:
        """By user; of those whose jobs have cost nothing there may be no entry."""
        todays: Document = {"user_id": {"$in": user_ids}, "day": _day(self._source.now())}
        with available():
            summed = self._ledger.aggregate([{"$match": todays}, {"$group": {"_id": "$user_id", "cost": {"$sum": "$cost"}}}])
            return {each["_id"]: float(each["cost"]) for each in summed}

    def ask_leave(self, job: Job, provider: str) -> None:
        """Return where the job's user may spend more today, or the provider costs nothing.

        Raises:
            NotNow: he may not; the job waits until midnight UTC, or until the limit is raised.
        """
        limit = settings().user_spending_limit
        if limit is not None and prices.costs(provider) and self.spent_today(job.user_id) >= limit:
            now = self._source.now()
            midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
            raise NotNow(SPENDING_LIMIT, seconds=(midnight - now).total_seconds())

    def wake_affordable(self) -> None:
        """Make the jobs due whose users may spend again: a limit was raised. For the rounds of relays."""
        parked: Document = {"waiting_for.reason": SPENDING_LIMIT, "status": Status.QUEUED.value}
        limit = settings().user_spending_limit
        with available():
            users = self._jobs.distinct("user_id", parked)
        spent = self._spent_today(users) if users and limit is not None else {}
        able = [user_id for user_id in users if limit is None or spent.get(user_id, 0) < limit]
        if able:
            still_waits = parked | {"user_id": {"$in": able}, "$expr": {"$gt": ["$not_before", NOW]}}
            changes = {"version": {"$add": ["$version", 1]}, "not_before": NOW, "waiting_for.until": NOW}
            with available():
                self._jobs.update_many(still_waits, [{"$set": changes}], hint="open_place")

    @property
    def _ledger(self) -> Collection[Document]:
        return self._source.collection("usage")


def usage_by_day(user_id: str | None, days: int) -> list[DayOfUsage]:
    """What was used in the last so many days, today first; by one user, or by all."""
    return spending().by_day(user_id, days)


def wake_affordable() -> None:
    """`Spending.wake_affordable` of this process."""
    spending().wake_affordable()


@cache
def spending() -> Spending:
    """The process's."""
    return Spending(database(), pace())


def _summed(group: Any, **beside: Document) -> list[Document]:
    """Entries summed up. A cost is known where that of any part is. (Of nothing known, MongoDB's sum would be 0.)"""
    amounts: Document = {amount: {"$sum": f"${amount}"} for amount in AMOUNTS}
    known: Document = {"known": {"$max": "$cost"}, "cost": {"$sum": "$cost"}}
    return [
        {"$group": {"_id": group, "generations": {"$sum": 1}, **amounts, **known, **beside}},
        {"$set": {"cost": {"$cond": [{"$eq": ["$known", None]}, None, "$cost"]}}},
        {"$unset": "known"},
    ]


def _day(time: datetime) -> str:
    return time.strftime("%Y-%m-%d")
