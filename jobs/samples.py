"""How the queues were over the last day: a sample of each kind twice a minute, for the charts.

One document for each half minute in `samples`: `{_id: when it began, at: the same, kinds: {kind: numbers}}`. Any number of
processes may take it: whoever inserts the document measures, the others find it there. A kill in between leaves a hole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import cache

import structlog
from pymongo.errors import DuplicateKeyError

from jobs.cursor import EPOCH
from jobs.database import Database, DatabaseUnavailable, Document, available, database
from jobs.overview import Overview, overview
from queues.catalogue import KINDS
from queues.clients import QueueError

log = structlog.get_logger()

EVERY = timedelta(seconds=30)
HOUR = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A kind's queues at one time. None: not known."""

    waiting: int | None = None
    """Messages to be received, and those that may not be yet; lanes summed."""
    in_flight: int | None = None
    dead_letters: int | None = None
    receives_per_minute: float | None = None
    completed_per_minute: float | None = None
    oldest_startable_seconds: float | None = None

    @classmethod
    def of(cls, seen: Overview) -> Sample:
        total = seen.depth.total
        return cls(
            waiting=total.visible + total.delayed,
            in_flight=total.in_flight,
            dead_letters=seen.depth.dead_letters.total if seen.depth.dead_letters else None,
            receives_per_minute=seen.receives_per_minute,
            completed_per_minute=seen.backlog.completed_per_minute,
            oldest_startable_seconds=seen.backlog.oldest_startable_seconds,
        )


class Samples:
    """Over one database."""

    def __init__(self, source: Database) -> None:
        self._source = source

    def take(self) -> None:
        """Measure, unless somebody has in this half minute.

        With MongoDB or SQS away there is no sample, which is all.
        """
        try:
            began = _floor(self._source.now())
            if self._is_ours(began):
                seen: Document = {each.kind: asdict(Sample.of(each)) for each in overview(KINDS.values())}
                with available():
                    self._source.collection("samples").update_one({"_id": began}, {"$set": {"kinds": seen}})
        except (DatabaseUnavailable, QueueError) as error:
            log.debug("no sample of the queues", reason=str(error))

    def of_last_hour(self) -> Mapping[str, list[Sample]]:
        """By kind, the oldest first; a sample with nothing known for each half minute that has none.

        Raises:
            DatabaseUnavailable: MongoDB is away.
        """
        last = _floor(self._source.now())
        first = last - HOUR
        with available():
            found = {each["_id"]: each["kinds"] for each in self._source.collection("samples").find({"_id": {"$gt": first}})}
        by_kind: dict[str, list[Sample]] = defaultdict(list)
        for place in range(1, HOUR // EVERY + 1):
            of_time = found.get(first + place * EVERY, {})
            for kind in KINDS:
                by_kind[kind].append(Sample(**of_time.get(kind, {})))
        return by_kind

    def _is_ours(self, began: datetime) -> bool:
        try:
            with available():
                self._source.collection("samples").insert_one({"_id": began, "at": began, "kinds": {}})
        except DuplicateKeyError:
            return False
        return True


def _floor(moment: datetime) -> datetime:
    """The begin of its half minute."""
    return EPOCH + (moment - EPOCH) // EVERY * EVERY


@cache
def samples() -> Samples:
    """The process's."""
    return Samples(database())


def take_sample() -> None:
    """What a relay does in each of its rounds."""
    samples().take()
