"""The relay: sends what was accepted and never sent, what is due, and what the queues have lost; ends what nobody else ends.

It works in rounds, in a process of its own (`celery -A tasks relay`) and in each worker for the worker's kinds; a worker's
stands back while the other does well. Any number may run: what two of them want at once only one of them gets, and a message
too many does no harm.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event, Thread
from time import monotonic
from typing import TypeVar

import structlog

from jobs import tally
from jobs.database import DatabaseUnavailable, available, database, quiet_seconds_left
from jobs.dead_letters import drop_settled
from jobs.dispatch import Dispatches, process_name
from jobs.document import Job
from jobs.effects import perform_pending, perform_pending_of
from jobs.expressions import NOW, ago, expr, literal
from jobs.files import StorageUnavailable
from jobs.life import Status
from jobs.overdue import Overdue
from jobs.pace import Pace
from jobs.pace import pace as configured_pace
from jobs.retention import clear_away
from jobs.sending import send
from jobs.shares import take_next
from jobs.store import store
from queues.catalogue import kind_named
from queues.clients import QueueError
from queues.queue import queue_for
from settings import settings

log = structlog.get_logger()

T = TypeVar("T")

MOST = 1_000
"""Jobs of a kind that a round looks after in each of its parts; the next follows at once where there may be more to send."""
AT_ONCE = 100
"""Jobs whose dispatch is taken together: they are sent well within the time that a taken dispatch gives."""
ALIVE_ROUNDS = 3
"""A relay that made no round for so long is looked upon as gone."""
MOST_USERS = 200
"""Users whose places a round recounts, picked at random: the ends of their jobs are what sends the next ones."""


@dataclass
class Report:
    """What a round did, by what was done; and what it could not do."""

    done: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)
    goes_on: bool = False
    """There is more to send at once."""

    def __str__(self) -> str:
        done = ", ".join(f"{what} {n}" for what, n in sorted(self.done.items())) or "nothing to do"
        return "; ".join([done, *(f"{what}: {reason}" for what, reason in self.faults.items())])


class Relay:
    """Looks after the jobs of some kinds, read anew in each round: they may become others while it works.

    `also` is called in each round besides; `by` is who dispatches, as jobs record it. One that `stands_back` leaves a kind to
    relays that don't, while one of them makes its rounds and finds nothing in its way: a hundred workers' relays would ask
    MongoDB and SQS a hundred times for the same.
    """

    def __init__(
        self,
        kinds: Collection[str],
        by: str | None = None,
        *,
        pace: Pace | None = None,
        also: Sequence[Callable[[], None]] = (),
        stands_back: bool = False,
    ) -> None:
        self._kinds = kinds
        self._stands_back = stands_back
        self.by = by or process_name()
        self.also = list(also)
        self._pace = pace or configured_pace()
        self._stopping = Event()
        self._report = Report()
        self._faults: dict[str, str] = {}
        self._short: dict[str, _Shortage] = {}
        self._next: dict[str, float] = {}

    @property
    def kinds(self) -> list[str]:
        """What it looks after now."""
        return sorted(self._kinds)

    # -- rounds

    def run(self) -> None:
        """Rounds until `stop`; each a little earlier or later than the pace, so that many relays spread by themselves."""
        while not self._stopping.is_set():
            report = self.round()
            if report.faults or not report.goes_on:
                self._stopping.wait(self._pace.round * random.uniform(0.8, 1.2))

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping.set()

    def round(self) -> Report:
        """One round. Each part fails alone, and is tried again in the next round."""
        self._report = Report()
        self._try("MongoDB", self._look_after_all)
        for call in self.also:
            self._try(getattr(call, "__qualname__", repr(call)), call)
        self._tell()
        return self._report

    def _look_after_all(self) -> None:
        database().ping()  # with MongoDB away there is nothing to be done; one wait says so
        kinds = sorted({*self.kinds} - self._looked_after())
        self._short = {kind: shortage for kind, shortage in self._short.items() if kind in kinds}  # what others saw is unknown
        for kind in kinds:
            self._try(f"leases of {kind}", partial(self._sweep, kind))
            self._try(f"expiry of {kind}", partial(self._expire, kind))
            self._try(f"effects of {kind}", partial(self._perform, kind))
            self._try(f"sending {kind}", partial(self._send_kind, kind))
            self._try(f"dead letters of {kind}", partial(self._clear, kind))
        if kinds:
            self._try("users' shares", self._fill_places)
            self._try("clearing away", self._clear_away)
        self._try("the relay's own document", self._record)

    def _looked_after(self) -> set[str]:
        """The kinds that are left to others."""
        if not self._stands_back:
            return set()
        is_alive = {"$gte": ["$at", ago(self._pace.round * ALIVE_ROUNDS)]}
        wanted = {"stands_back": False, "report.faults": {}, **expr(is_alive)}
        with available():
            return {kind for relay in database().collection("relays").find(wanted, {"kinds": 1}) for kind in relay["kinds"]}

    def _try(self, what: str, part: Callable[[], None]) -> None:
        """Do one part. What is wrong is logged when it begins and when it is over, not in each round."""
        if self._stopping.is_set():
            return
        try:
            part()
        except (DatabaseUnavailable, QueueError, StorageUnavailable) as error:
            self._fail(what, str(error))
        except Exception as error:
            if what not in self._faults:
                log.exception("a part of the relay's round broke", part=what)
            self._fail(what, f"{type(error).__name__} (see the log)")
        else:
            if self._faults.pop(what, None) is not None:
                log.info("the relay goes on with what it could not do", part=what)

    def _fail(self, what: str, reason: str) -> None:
        self._report.faults[what] = reason
        if what not in self._faults:
            log.warning("the relay can't do a part of its work now; it tries on", part=what, reason=reason)
        self._faults[what] = reason

    def _tell(self) -> None:
        if self._report.done:
            log.info("relay", **self._report.done)

    # -- what a round does

    def _sweep(self, kind: str) -> None:
        """Jobs whose worker died wait again, or end; not while workers may still renew what ran out with MongoDB away."""
        if quiet_seconds_left():
            return
        for job_id in self._some(Overdue(database(), self._pace).leases(kind, MOST)):
            job = store().recover(job_id)
            if job is not None:
                tally.crashed(kind)
            if job is not None and job.status is Status.QUEUED:
                self._report.done["recovered"] += 1
            elif job is not None or store().give_up(job_id):
                if job is None:
                    tally.crashed(kind)
                    tally.failed(kind)
                self._report.done["ended"] += 1
                perform_pending_of(job_id)

    def _expire(self, kind: str) -> None:
        for job_id in self._some(Overdue(database(), self._pace).unstarted(kind, MOST)):
            if store().expire(job_id):
                self._report.done["expired"] += 1
                perform_pending_of(job_id)

    def _perform(self, kind: str) -> None:
        for job in self._some(Overdue(database(), self._pace).effects(kind, MOST)):
            perform_pending(job)
            self._report.done["jobs with effects"] += 1

    def _send_kind(self, kind: str) -> None:
        """Nothing is taken, and so nothing written, while the queue can't be asked. Without open jobs it is not asked."""
        unsent, sent = self._dispatches.unsent(kind, MOST), self._dispatches.count_sent(kind)
        if not unsent and not sent:
            self._short.pop(kind, None)
            return
        if not settings().uses_sqs:  # what stands in line in MongoDB is not lost
            self._send("sent", unsent)
            return
        shown = sum(queue_for(kind, lane).count() for lane in kind_named(kind).lanes)
        missing = self._missing(kind, sent - shown)
        self._send("sent", unsent)
        if missing:
            self._send("lost", self._dispatches.longest_sent(kind, min(missing, MOST)))
        if self._is_time(f"silent {kind}", self._pace.silent / 10):
            self._send("silent", self._dispatches.silent(kind, MOST))

    def _missing(self, kind: str, short: int) -> int:
        """How many messages the queue has lost: what it has shown too few for long, and still does."""
        if short <= 0:
            self._short.pop(kind, None)
            return 0
        shortage = self._short.setdefault(kind, _Shortage(monotonic(), short))
        shortage.least = min(shortage.least, short)
        if monotonic() - shortage.since < self._pace.short:
            return 0
        del self._short[kind]
        return shortage.least

    def _fill_places(self) -> None:
        """Jobs that wait for their user's place, where one is free: a cap was raised, or a place given up without an end."""
        if settings().user_running_jobs is None and not self._is_time("users' shares", self._pace.silent / 10):
            return  # nobody waits, but for those of a cap that was lifted
        users = self._dispatches.users_waiting()
        for user_id in self._some(random.sample(users, min(len(users), MOST_USERS))):
            self._send_taken("sent", take_next(user_id, self.by))

    def _clear(self, kind: str) -> None:
        if not settings().uses_sqs:
            return
        if self._is_time(f"dead letters {kind}", self._pace.silent / 2) and (n := drop_settled(kind, self._stopping.is_set)):
            self._report.done["dead letters dropped"] += n

    def _clear_away(self) -> None:
        if not self._is_time("clearing away", self._pace.silent):
            return
        cleared = clear_away()
        if cleared.goes_on:
            del self._next["clearing away"]  # in the next round, or more would come than goes
        if cleared.deleted:
            self._report.done["things cleared away"] += cleared.deleted

    def _record(self) -> None:
        report = {"done": dict(self._report.done), "faults": dict(self._report.faults)}
        with available():
            database().collection("relays").update_one(
                {"_id": self.by},
                [{"$set": {"kinds": self.kinds, "at": NOW, "report": literal(report), "stands_back": self._stands_back}}],
                upsert=True,
            )

    # -- how

    @property
    def _dispatches(self) -> Dispatches:
        return Dispatches(database(), self._pace)

    def _send(self, what: str, jobs: list[Job]) -> None:
        for place in range(0, len(jobs), AT_ONCE):
            if self._stopping.is_set():
                return
            self._send_taken(what, self._dispatches.take(jobs[place : place + AT_ONCE], self.by))
        self._report.goes_on |= len(jobs) >= MOST

    def _send_taken(self, what: str, jobs: list[Job]) -> None:
        sent = send(jobs)
        if sent.messages:
            self._report.done[what] += len(sent.messages)
        for fault in sent.faults.values():
            raise fault

    def _some(self, found: list[T]) -> Iterable[T]:
        """Those found, as long as the relay is not told to stop."""
        return (each for each in found if not self._stopping.is_set())

    def _is_time(self, what: str, seconds: float) -> bool:
        """Whether this is to be done in this round: at first, and then so many seconds apart."""
        if monotonic() < self._next.get(what, 0):
            return False
        self._next[what] = monotonic() + seconds
        return True


@dataclass
class _Shortage:
    """A queue shows too few messages."""

    since: float
    least: int


def start_in_background(
    kinds: Collection[str], also: Sequence[Callable[[], None]] = (), *, stands_back: bool = False
) -> Callable[[], None]:
    """Run a relay for these kinds in a thread of this process; call the answer to stop it."""
    relay = Relay(kinds, also=also, stands_back=stands_back)
    Thread(target=relay.run, name="relay", daemon=True).start()
    return relay.stop
