"""What has happened, counted for the whole fleet: kept in MongoDB, so that it is right across processes and restarts.

One document for each name and its labels in `counters`: `{_id: {name, labels…}, n}`. A histogram's holds besides `sum`, and
`within`: how many values lay within each bound, in milliseconds, and not within the one before.

What happens seldom and matters is written at once (`count`). What every job does is gathered in the process (`add`, `observe`)
and written every few seconds, all in one request, by a thread of its own. A process that is killed takes the counts of its last
seconds with it; one that ends in order does not.
"""

from __future__ import annotations

import atexit
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Event, Lock, Thread

import structlog
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from jobs.database import DatabaseUnavailable, Document, PyMongoError, available, database

log = structlog.get_logger()

BOUNDS_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 14_400)
"""The histograms' buckets: from an article that a warm model writes to the longest video."""
BEYOND = "more"
"""The bucket of what lies beyond the last bound."""

Key = tuple[str, tuple[tuple[str, str], ...]]
Increments = Mapping[str, float]


@dataclass(frozen=True)
class Counted:
    """A counter or a histogram as MongoDB has it."""

    name: str
    labels: Mapping[str, str]
    n: float
    sum: float
    within: Mapping[str, float]
    """Empty for a counter."""

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus wants them: the bound in seconds, and how many values lay within it."""
        found, so_far = [], 0.0
        for bound in BOUNDS_SECONDS:
            so_far += self.within.get(_bucket(bound), 0)
            found.append((str(float(bound)), so_far))
        return [*found, ("+Inf", self.n)]


def count(name: str, n: int = 1, **labels: str) -> None:
    """Count `n` more of what happens seldom. With MongoDB away the count is lost, and said."""
    try:
        with available():
            database().collection("counters").update_one({"_id": _id(_key(name, labels))}, {"$inc": {"n": n}}, upsert=True)
    except DatabaseUnavailable as error:
        log.warning("a count is lost", counter=name, reason=str(error))


def add(name: str, n: float = 1, **labels: str) -> None:
    """Count `n` more of what happens often; written within seconds."""
    _gathered.add(_key(name, labels), {"n": n})


def observe(name: str, seconds: float, **labels: str) -> None:
    """Count a value of a histogram; written within seconds."""
    bucket = _FIELDS[bisect_left(BOUNDS_SECONDS, seconds)]
    _gathered.add(_key(name, labels), {"n": 1, "sum": seconds, bucket: 1})


def flush() -> None:
    """Write what this process has gathered. With MongoDB away it is kept for the next time."""
    _gathered.flush()


def counted() -> list[Counted]:
    """Everything that is counted, what this process has gathered included.

    Raises:
        DatabaseUnavailable: MongoDB is away.
    """
    flush()
    with available():
        return [_counted(each) for each in database().collection("counters").find()]


FLUSH_SECONDS = 3
"""A kill loses the counts of so many seconds."""


class Gathered:
    """Counts that are not written yet. Its thread starts with the first."""

    def __init__(self) -> None:
        self._counts: dict[Key, dict[str, float]] = {}
        self._added: deque[tuple[Key, Increments]] = deque()
        """What is not summed up yet: who counts waits for nobody."""
        self._lock = Lock()
        self._flushing = Lock()
        self._started = False
        self._is_away = False
        """MongoDB was, at the last try."""

    def add(self, key: Key, increments: Increments) -> None:
        self._added.append((key, increments))
        if not self._started:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._started:
                return
            self._started = True
        atexit.register(self.flush)
        Thread(target=self._keep_flushing, name="counters", daemon=True).start()

    def flush(self) -> None:
        """Write it all. (Where MongoDB breaks off in the middle of the write it may count twice; it does so seldom.)"""
        with self._flushing:
            taken = self._take()
            if not taken:
                return
            try:
                self._write(taken)
                self._is_away = False
            except BulkWriteError as error:
                keys = list(taken)
                self._put_back((keys[fault["index"]], taken[keys[fault["index"]]]) for fault in error.details["writeErrors"])
            except (DatabaseUnavailable, PyMongoError) as error:
                self._put_back(taken.items())
                if not self._is_away:
                    log.warning("counts can't be written; they are kept until they can", reason=str(error))
                self._is_away = True
            except BaseException:
                self._put_back(taken.items())
                raise

    def _take(self) -> dict[Key, dict[str, float]]:
        with self._lock:
            for _ in range(len(self._added)):
                self._sum_up(*self._added.popleft())
            taken, self._counts = self._counts, {}
        return taken

    def _write(self, taken: Mapping[Key, Increments]) -> None:
        updates = [UpdateOne({"_id": _id(key)}, {"$inc": dict(increments)}, upsert=True) for key, increments in taken.items()]
        with available():
            database().collection("counters").bulk_write(updates, ordered=False)

    def _put_back(self, counts: Iterable[tuple[Key, Increments]]) -> None:
        with self._lock:
            for key, increments in counts:
                self._sum_up(key, increments)

    def _sum_up(self, key: Key, increments: Increments) -> None:
        so_far = self._counts.setdefault(key, defaultdict(float))
        for field, n in increments.items():
            so_far[field] += n

    def _keep_flushing(self) -> None:
        waiting = Event()
        while not waiting.wait(FLUSH_SECONDS):
            try:
                self.flush()
            except Exception:  # settings that are wrong just now, say; nothing would be written any more
                log.exception("counting broke; it goes on")


def _key(name: str, labels: Mapping[str, str]) -> Key:
    return name, tuple(sorted(labels.items()))


def _id(key: Key) -> dict[str, str]:
    name, labels = key
    return {"name": name, **dict(labels)}


def _bucket(bound: float) -> str:
    """A bound as a field's name, which must not hold a point."""
    return str(round(bound * 1000))


def _counted(document: Document) -> Counted:
    labels = dict(document["_id"])
    name = labels.pop("name")
    return Counted(name, labels, document.get("n", 0), document.get("sum", 0), document.get("within", {}))


_FIELDS = [f"within.{bucket}" for bucket in (*map(_bucket, BOUNDS_SECONDS), BEYOND)]
_gathered = Gathered()
