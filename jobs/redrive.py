"""Sending dead letters back, and dropping them: what is to happen with each case, seen beforehand or carried out.

The order of writes is job, message, letter. Whoever dies in between leaves jobs that the relay sends, and letters that say no
more than that their job has got on; giving the same command again goes on with the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import islice
from threading import Event
from time import monotonic
from typing import TypeVar

import structlog

from jobs.database import database
from jobs.dead_letters import DeadLetter, forget_letter, letters_of
from jobs.dispatch import process_name
from jobs.draining import drains
from jobs.failures import SETTLED, Case, Group, Selection, case_of_letter, failed_jobs
from jobs.sending import send
from jobs.store import store
from queues.browsing import Browser
from queues.clients import QueueMissing
from queues.queue import Message, Outgoing, dead_letters_of, queue_for
from queues.wire import naming_its_job
from settings import settings

log = structlog.get_logger()

T = TypeVar("T")

AT_ONCE = 16
"""Kinds whose dead letters are looked at together: nobody waits for one queue after the other."""
JOBS_A_PAGE = 100
LETTERS_BETWEEN_WORDS = 1_000


class Deed(StrEnum):
    """What becomes of a case."""

    START_OVER = "starts over"
    """The job waits again with new attempts; its letters are deleted."""
    DROP = "is dropped"
    """The letters are deleted. A failed job stays failed, and is no longer shown with the dead letters."""
    PUT_BACK = "is put back"
    """The letter goes to the work queue as it once was, an order with its job's id. Who can't read it sets it aside again."""
    STAY = "stays"


Decide = Callable[[Case], Deed]
Progress = Callable[[str, int], None]
"""Told, by kind, how many letters have been read, after each thousand or so."""


def look(case: Case) -> Deed:
    """Nothing happens."""
    return Deed.STAY


def drop(case: Case) -> Deed:
    """Everything goes."""
    return Deed.DROP


def redrive(*, malformed: bool = False) -> Decide:
    """Failed jobs start over, letters whose job has got on go; what is malformed or unknown stays, or is put back as it was."""

    def decide(case: Case) -> Deed:
        if case.failed_at is not None:
            return Deed.START_OVER
        if case.code == SETTLED:
            return Deed.DROP
        return Deed.PUT_BACK if malformed else Deed.STAY

    return decide


@dataclass
class Outcome:
    """What became of the cases, or would: the groups, by what was done to them."""

    groups: dict[tuple[Deed, str, str, str], Group] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    """The dead-letter queues that don't exist."""
    busy: int = 0
    """Letters that somebody else looked at just then; nothing is known of them."""
    is_partial: bool = False
    """Its time was over before all was seen; the same again goes on with the rest."""

    def add(self, case: Case, deed: Deed) -> None:
        key = (deed, *case.group)
        self.groups.setdefault(key, Group(*case.group)).add(case)

    def by_deed(self) -> Iterator[tuple[Deed, Group]]:
        """The groups, the most jobs and letters first."""
        for (deed, *_), group in sorted(self.groups.items(), key=lambda each: (-len(each[1].jobs), -each[1].letters, each[0])):
            yield deed, group

    def count(self, deed: Deed) -> tuple[int, int]:
        """How many jobs and letters that befell."""
        groups = [group for done, group in self.by_deed() if done is deed]
        return sum(len(group.jobs) for group in groups), sum(group.letters for group in groups)

    @property
    def is_work(self) -> bool:
        """Whether anything is to be done."""
        return any(deed is not Deed.STAY for deed, _ in self.by_deed())

    def merge(self, other: Outcome) -> None:
        self.groups |= other.groups  # of other kinds, so of other keys
        self.missing += other.missing
        self.busy += other.busy
        self.is_partial = self.is_partial or other.is_partial


class Round:
    """One look through the cases that are meant. With an `operator`, whose name the jobs keep, it does what is decided."""

    def __init__(
        self,
        selection: Selection,
        decide: Decide,
        *,
        operator: str | None = None,
        progress: Progress = lambda kind, n: None,
        most_seconds: float | None = None,
    ) -> None:
        self._selection = selection
        self._decide = decide
        self._operator = operator
        self._progress = progress
        self._stopped = Event()
        self._until: float | None = None
        self._most_seconds = most_seconds

    def run(self) -> Outcome:
        """What became of them, or would.

        Raises:
            QueueError: SQS is away or refuses. (A missing dead-letter queue is no error.)
            QueueDraining: a job of a queue that is being emptied should start over.
            DatabaseUnavailable: MongoDB is away. What was done until then is done.
        """
        now = database().ask_now()  # or what failed a moment ago would not be meant
        outcome = Outcome()
        self._until = None if self._most_seconds is None else monotonic() + self._most_seconds
        with ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                for of_kind in pool.map(lambda kind: self._of_kind(kind, now), self._selection.kinds_or_all()):
                    outcome.merge(of_kind)
            except BaseException:  # Ctrl-C too: the other kinds end with the page they are at
                self._stopped.set()
                raise
        return outcome

    def _of_kind(self, kind: str, now: datetime) -> Outcome:
        """Letters first, each with its job, then the failed jobs that have none."""
        outcome = Outcome()
        with_letter: set[str | None] = set()
        with suppress(QueueMissing), Browser(dead_letters_of(kind)) as browser:
            try:
                outcome.busy = browser.depth.in_flight
            except QueueMissing:
                if settings().uses_sqs:
                    outcome.missing.append(browser.queue.name)
                raise
            read = 0
            for messages in self._unless_stopped(browser.pages(), outcome):
                read += len(messages)
                if read % LETTERS_BETWEEN_WORDS < len(messages):
                    self._progress(kind, read)
                cases = [case_of_letter(letter, self._selection) for letter in letters_of(kind, messages)]
                meant = [case for case in cases if self._is_meant(case, now)]
                with_letter.update(case.job_id for case in meant if case.failed_at is not None)
                self._page(meant, outcome, browser.delete)
        if outcome.is_partial:
            return outcome
        alone = (
            case
            for case in failed_jobs(kind, self._selection, now)
            if case.job_id not in with_letter and self._selection.picks(case, now)
        )
        for page in self._unless_stopped(iter(lambda: list(islice(alone, JOBS_A_PAGE)), []), outcome):
            self._page(page, outcome, lambda messages: None)
        return outcome

    def _unless_stopped(self, pages: Iterator[T], outcome: Outcome) -> Iterator[T]:
        for page in pages:
            if self._stopped.is_set():
                return
            yield page
            if self._until is not None and monotonic() > self._until:
                outcome.is_partial = True
                return

    def _is_meant(self, case: Case, now: datetime) -> bool:
        """What fails while we are at it is not: a job that fails at once would start over without end."""
        return self._selection.picks(case, now) and (case.failed_at is None or case.failed_at <= now)

    def _page(self, cases: list[Case], outcome: Outcome, delete: Callable[[Iterable[Message]], None]) -> None:
        decided = [(case, self._decide(case)) for case in cases]
        if self._operator is not None:
            decided = self._carry_out(decided, self._operator, delete)
        for case, deed in decided:
            outcome.add(case, deed)

    def _carry_out(
        self, decided: list[tuple[Case, Deed]], operator: str, delete: Callable[[Iterable[Message]], None]
    ) -> list[tuple[Case, Deed]]:
        """Do it; what was done. A case that has changed meanwhile stays as it is."""
        by_deed: dict[Deed, list[Case]] = defaultdict(list)
        for case, deed in decided:
            by_deed[deed].append(case)
        _put_back(by_deed[Deed.PUT_BACK])
        done = {
            Deed.START_OVER: _start_over(by_deed[Deed.START_OVER], operator),
            Deed.DROP: [case for case in by_deed[Deed.DROP] if _is_let_go(case, operator)],
            Deed.PUT_BACK: by_deed[Deed.PUT_BACK],
        }
        delete(case.letter.message for cases in done.values() for case in cases if case.letter)
        return [(case, deed if case in done.get(deed, ()) else Deed.STAY) for case, deed in decided]


def _start_over(cases: list[Case], operator: str) -> list[Case]:
    """Those of these jobs that did; two letters of one job are both done with."""
    jobs = {}
    for kind in {case.kind for case in cases}:
        drains().refuse_order(kind)
    for case in cases:
        if case.job_id and case.job_id not in jobs:
            job = store().requeue(case.job_id, by=process_name(), failed_at=case.failed_at, operator=operator)
            if job is not None:
                jobs[job.id] = job
                log.info("job started over by an operator", by=operator, **job.log_context())
    send(list(jobs.values()))
    return [case for case in cases if case.job_id in jobs]


def _is_let_go(case: Case, operator: str) -> bool:
    """A failed job is dismissed; a letter whose job has got on needs nothing but its end."""
    if case.letter is not None and case.failed_at is None:
        forget_letter(case.letter)
        return True
    assert case.job_id is not None
    assert case.failed_at is not None
    return store().dismiss(case.job_id, failed_at=case.failed_at, operator=operator)


def _put_back(cases: list[Case]) -> None:
    for case in cases:
        assert case.letter is not None
        message = case.letter.message
        attributes = {name: value for name, value in message.typed_attributes.items() if name != "Reason"}
        body = naming_its_job(message.body, message.message_id)  # whoever dies before the letter goes puts it back again
        queue_for(case.kind, message.attributes.get("Priority", "normal")).send(Outgoing(body, attributes))


def letters_about(wanted: str, kinds: Iterable[str]) -> list[DeadLetter]:
    """The letters of these kinds about a job, by its id, or the letter with a message id.

    Raises:
        QueueError, DatabaseUnavailable
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [letter for found in pool.map(lambda kind: _letters_of_kind_about(wanted, kind), kinds) for letter in found]


def _letters_of_kind_about(wanted: str, kind: str) -> list[DeadLetter]:
    found: list[DeadLetter] = []
    with suppress(QueueMissing), Browser(dead_letters_of(kind)) as browser:
        for messages in browser.pages():
            letters = letters_of(kind, messages)
            found += [each for each in letters if wanted in (each.message.message_id, each.said and each.said.job_id)]
    return found
