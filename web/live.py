"""What happens to jobs, as it happens: one subscription to MongoDB's changes a process, told to everybody who watches here.

Two threads, which run while somebody watches: one hears which jobs have changed, the other reads those that are watched, once
for all their watches. Only that one reads, so what a watch is told never goes back in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from threading import Condition, Event, Lock, Thread
from time import monotonic, sleep

import structlog

from jobs.changes import JOBS, TEXTS, Change, changes, read_jobs
from jobs.database import DatabaseUnavailable
from jobs.document import Job
from jobs.texts import texts_of
from settings import settings
from web.watches import MOST_WAITING, JobWatch, ListWatch, Told, Watch

MOST_OF_A_USER = 20
IDLE_SECONDS = 30
"""With nobody watching, MongoDB is listened to for so long before the next comes."""
AWAY_SECONDS = 1.0
HANG_UP_SECONDS = 1.0
"""Streams that are told to end and don't within this time hang in a write."""
MOST_PENDING = 10_000
"""Changes that nobody has read yet. With more, everything that is watched is read again."""

log = structlog.get_logger("web")


class TooManyStreams(Exception):
    """Too many streams of events are open on this server. Close some, or ask for the job from time to time instead."""


class TooManyOfUser(TooManyStreams):
    """You have too many streams of events open. Close some, or follow all your jobs in one, at /api/events."""


class Live:
    """The watches of a process, at most `most` of them: each has a thread that waits."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._news = Condition()
        self._watches: dict[Watch, None] = {}
        self._of_job: dict[str, dict[JobWatch, None]] = {}
        self._lists: dict[ListWatch, None] = {}
        self._pending: set[Change] = set()
        self._has_missed = False
        self._stop: Event | None = None
        self._is_hearing = False
        self._idle_since = 0.0
        self._is_ended = False

    def open(self, watch: Watch) -> None:
        """Tell the watch what happens from now on, until it is closed; a job's first as it is.

        While the process ends it is over at once.

        Raises:
            TooManyStreams: there is no room for it.
        """
        with self._news:
            if self._is_ended:
                watch.end()
                return
            self._make_room(watch)
            self._watches[watch] = None
            if isinstance(watch, JobWatch):
                self._of_job.setdefault(watch.job_id, {})[watch] = None
                self._pending |= {Change(JOBS, watch.job_id), Change(TEXTS, watch.job_id)}
                self._news.notify_all()
            elif isinstance(watch, ListWatch):
                self._lists[watch] = None
                if self._is_hearing:  # else it is told so once that begins
                    watch.miss()
            if self._stop is None:
                self._stop = Event()
                for work in (self._hear, self._tell):
                    Thread(target=self._run, args=(work, self._stop), name=f"live{work.__name__}", daemon=True).start()

    def close(self, watch: Watch) -> None:
        """The watch's answer is written. Closing twice is closing once."""
        if self._is_ended:
            watch.hang_up()  # or the connection is kept for a next request
        with self._news:
            self._watches.pop(watch, None)
            if isinstance(watch, ListWatch):
                self._lists.pop(watch, None)
            elif isinstance(watch, JobWatch) and (those := self._of_job.get(watch.job_id)):
                those.pop(watch, None)
                if not those:
                    del self._of_job[watch.job_id]
            self._idle_since = monotonic()

    def end(self) -> None:
        """End every watch, and begin no other: the process ends."""
        with self._news:
            self._is_ended = True
            ending = [*self._watches]
            if self._stop is not None:
                self._halt(self._stop)
        for watch in ending:
            watch.end()
        deadline = monotonic() + HANG_UP_SECONDS
        while self._watches and monotonic() < deadline:
            sleep(0.02)
        for watch in ending:
            if watch in self._watches:
                watch.hang_up()

    def _make_room(self, watch: Watch) -> None:
        def are_too_many() -> TooManyStreams | None:
            if watch.by is not None and sum(each.by == watch.by for each in self._watches) >= MOST_OF_A_USER:
                return TooManyOfUser(TooManyOfUser.__doc__)
            if len(self._watches) >= self._most:
                return TooManyStreams(TooManyStreams.__doc__)
            return None

        if are_too_many() is None:
            return
        for each in [*self._watches]:
            if each.is_gone():
                self.close(each)
                each.end()
        if refusal := are_too_many():
            raise refusal

    # -- the two threads

    def _run(self, work: Callable[[Event], None], stop: Event) -> None:
        try:
            work(stop)
        except Exception:
            # deaf streams would look like quiet ones: end them, and who comes back finds new threads
            log.exception("live events failed", work=work.__name__)
            with self._news:
                self._halt(stop)
                ending = [*self._watches]
            for watch in ending:
                watch.end()

    def _halt(self, stop: Event) -> None:
        stop.set()
        if self._stop is stop:
            self._stop, self._is_hearing = None, False
        self._news.notify_all()

    def _is_wanted(self, stop: Event) -> bool:
        with self._news:
            if not self._watches and monotonic() > self._idle_since + IDLE_SECONDS:
                self._halt(stop)
            return not stop.is_set()

    def _watched(self) -> list[str]:
        with self._news:
            return [*self._of_job]

    def _hear(self, stop: Event) -> None:
        for change in changes(watched=self._watched, is_wanted=lambda: self._is_wanted(stop)):
            with self._news:
                if change is None or len(self._pending) > MOST_PENDING:
                    self._has_missed = self._is_hearing = True
                elif change.job_id in self._of_job or (self._lists and change.collection == JOBS):
                    self._pending.add(change)
                else:
                    continue
                self._news.notify_all()

    def _tell(self, stop: Event) -> None:
        while not stop.is_set():
            with self._news:
                self._news.wait_for(lambda: self._pending or self._has_missed or stop.is_set())
                pending, self._pending = self._pending, set()
                has_missed, self._has_missed = self._has_missed, False
                lists = [*self._lists]
                watched = {*self._of_job}
            changed, written = ({change.job_id for change in pending if change.collection == name} for name in (JOBS, TEXTS))
            if has_missed or len(changed) > MOST_WAITING:
                for each in lists:
                    each.miss()
                changed &= watched
            if has_missed:
                changed = written = watched
            try:
                self._look(changed, written, lists)
            except DatabaseUnavailable:
                with self._news:
                    self._pending |= {Change(JOBS, job_id) for job_id in changed} | {
                        Change(TEXTS, job_id) for job_id in written
                    }
                sleep(AWAY_SECONDS)

    def _look(self, changed: set[str], written: set[str], lists: list[ListWatch]) -> None:
        """Read the jobs that have changed and the texts that were written on, and tell those who watch them."""
        told = {job.id: Told(job) for job in read_jobs(changed)} if changed else {}
        # the text of a job that is over is read after the job: then it is all of it
        with_text = {*written} | {job_id for job_id, each in told.items() if each.job.status.is_final}
        watches = {job_id: self._watches_of(job_id) for job_id in changed | written}
        texts = texts_of(_jobs_with_text(with_text, told, watches))
        for job_id, those in watches.items():
            for watch in those:
                watch.text = texts.get(job_id, watch.text)
                watch.told = told.get(job_id, watch.told)
                watch.wake()
                if job_id in changed and job_id not in told:
                    watch.end()  # it was deleted
        for listing in lists:
            for each in told.values():
                listing.tell(each)

    def _watches_of(self, job_id: str) -> list[JobWatch]:
        with self._news:
            return [*self._of_job.get(job_id, ())]


def _jobs_with_text(with_text: set[str], told: Mapping[str, Told], watches: Mapping[str, list[JobWatch]]) -> Iterator[Job]:
    """Those of the jobs whose text somebody wants."""
    for job_id in with_text & {*watches}:
        wanting = [watch for watch in watches[job_id] if watch.wants_text]
        if wanting and (known := told.get(job_id) or wanting[0].told):
            yield known.job


_making = Lock()


def live() -> Live:
    """The process's, one only: at its end every stream must be known to it."""
    with _making:
        return _made()


@cache
def _made() -> Live:
    return Live(settings().open_streams)


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """The watch is open.

    Raises:
        TooManyStreams: there is no room for it.
    """
    here = live()
    here.open(watch)
    try:
        yield
    finally:
        here.close(watch)


def wait_for_end(job_id: str, seconds: float, *, by: str | None = None) -> Job | None:
    """The job, if it ends within so many seconds; None: it did not, or there is no room to wait here, or the process ends.

    `by`: the user whose streams are counted, this with them.
    """
    watch = JobWatch(job_id=job_id, by=by)
    deadline = monotonic() + seconds
    try:
        with watching(watch):
            while not watch.is_over and (left := deadline - monotonic()) > 0:
                watch.wait(left)
                if watch.told and watch.told.job.status.is_final:
                    return watch.told.job
    except TooManyStreams:
        log.info("no room to wait for a job", job_id=job_id)
    return None
