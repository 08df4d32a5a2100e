"""Sending the messages of jobs whose dispatch is ours: the one place where a message is made.

What can't be sent stays unsent, and is made up for by the relay once the dispatch's time is over.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from time import monotonic

import structlog

from jobs import here, shares
from jobs.database import DatabaseUnavailable
from jobs.dispatch import process_name
from jobs.document import Job
from jobs.naming import naming, write_names
from queues.clients import QueueError, QueueUnavailable
from queues.limits import MESSAGE_GROUP
from queues.post import post
from queues.queue import Outgoing, Queue, in_tens, queue_for
from queues.steps import Step, reached
from queues.wire import JobMessage, attributes
from settings import settings

log = structlog.get_logger()

NAMED_AT_ONCE = 100
"""Messages whose names are written in one request."""
TENS_AT_ONCE = 4
"""Requests under way at the same time for many messages of a queue: SQS takes longer over each than we do."""
REST_SECONDS = 5.0
"""How long no send is tried after one found SQS away: who submits meanwhile does not wait for it."""


@dataclass
class Sent:
    """What became of a send."""

    messages: dict[str, str] = field(default_factory=dict)
    """The message's id by the job's."""
    faults: dict[str, QueueError] = field(default_factory=dict)
    """Why the others of a queue are not sent, where SQS is the reason; by the queue's name."""

    def named(self, jobs: Iterable[Job]) -> list[Job]:
        """The jobs, with the messages they have got."""
        return [job.with_message(self.messages.get(job.id, job.message_id)) for job in jobs]


def send(jobs: Sequence[Job]) -> Sent:
    """Send the messages of these jobs, whose dispatch the caller has taken, as far as their users' shares allow.

    Never fails for SQS or MongoDB being away.
    """
    sent = Sent()
    try:
        allowed = shares.within(jobs)
    except DatabaseUnavailable as error:
        log.warning("nothing is sent; MongoDB can't be asked for users' shares", jobs=len(jobs), reason=str(error))
        return sent
    if not settings().uses_sqs:
        _let_stand(allowed, sent)
        return sent
    by_queue: dict[Queue, list[Job]] = defaultdict(list)
    for job in allowed:
        by_queue[queue_for(job.kind, job.priority)].append(job)
    for queue, jobs_of_queue in by_queue.items():
        try:
            with unless_at_rest(queue):
                _send_to(queue, jobs_of_queue, sent)
        except QueueError as error:
            sent.faults[queue.name] = error
    return sent


def send_next(user_id: str) -> None:
    """Send what the user's free places have room for."""
    send(shares.take_next(user_id, process_name()))


def _let_stand(jobs: Sequence[Job], sent: Sent) -> None:
    """Without SQS: a job that names a message stands in line, for whichever web process has room."""
    by_dispatch: dict[int, dict[str, str]] = defaultdict(dict)
    for job in jobs:
        by_dispatch[job.dispatch["n"]][job.id] = f"{job.id}-{job.dispatch['n']}"
    for n, messages in by_dispatch.items():
        if write_names(messages, n=n):
            sent.messages |= messages
    here.woken.set()


def _send_to(queue: Queue, jobs: Sequence[Job], sent: Sent) -> None:
    """By tens; what is sent is named a hundred at a time, well before the dispatch's time is over."""
    by_dispatch: dict[int, dict[str, str]] = defaultdict(dict)
    unnamed = 0
    try:
        for chunk, ids in _by_tens(queue, jobs):
            for job, message_id in zip(chunk, ids, strict=True):
                if message_id:
                    reached(Step.SENT, job.id)
                    sent.messages[job.id] = message_id
                    by_dispatch[job.dispatch["n"]][job.id] = message_id
                    unnamed += 1
            if unnamed >= NAMED_AT_ONCE:
                _name(by_dispatch)
                unnamed = 0
    finally:
        _name(by_dispatch)


def _by_tens(queue: Queue, jobs: Sequence[Job]) -> Iterator[tuple[list[Job], Sequence[str | None]]]:
    """Send, and tell of each ten the messages. The first fault is raised once all that were under way are told."""
    tens = [*in_tens(jobs)]
    if len(tens) == 1 or queue.is_fifo:  # whose messages keep their order
        for ten in tens:
            yield ten, _send_ten(queue, ten)
        return
    faults: list[QueueError] = []

    def send_unless_one_failed(ten: list[Job]) -> Sequence[str | None]:
        try:
            return [None] * len(ten) if faults else _send_ten(queue, ten)
        except QueueError as error:
            faults.append(error)
            return [None] * len(ten)

    yield from zip(tens, _senders().map(send_unless_one_failed, tens), strict=True)
    if faults:
        raise faults[0]


def _send_ten(queue: Queue, ten: list[Job]) -> Sequence[str | None]:
    outgoing = [_message(job) for job in ten]
    return queue.send_batch(outgoing) if len(outgoing) > 1 else [post().send(queue, outgoing[0])]


@cache
def _senders() -> ThreadPoolExecutor:
    """The process's, started when first needed."""
    return ThreadPoolExecutor(TENS_AT_ONCE, "sending")


def _name(by_dispatch: dict[int, dict[str, str]]) -> None:
    """Name these messages, by the number of their dispatch, and forget them."""
    while by_dispatch:
        n, messages = by_dispatch.popitem()
        naming().name(messages, n=n)


def _message(job: Job) -> Outgoing:
    return Outgoing(
        JobMessage(job.id, job.user_id, job.kind).body(),
        attributes(job.kind, job.priority),
        group=message_group(job.group or job.user_id),
        deduplication=f"{job.id}:{job.dispatch['n']}",
    )


def message_group(user_id: str) -> str:
    """The user as SQS's fair queues know him: his id, or its hash where SQS would not take the id."""
    return user_id if re.fullmatch(MESSAGE_GROUP, user_id) else hashlib.sha256(user_id.encode()).hexdigest()


class Rest:
    """Whether sending is worth a try. While it rests nobody tries; after that one does, and the others wait for his news."""

    def __init__(self, seconds: float = REST_SECONDS, clock: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._until: float | None = None
        self._lock = Lock()

    def allows(self) -> bool:
        with self._lock:
            if self._until is None:
                return True
            if self._clock() < self._until:
                return False
            self._until = self._clock() + self._seconds  # this one tries
            return True

    def ended(self, *, is_well: bool) -> None:
        """How a send ended."""
        with self._lock:
            self._until = None if is_well else self._clock() + self._seconds


@contextmanager
def unless_at_rest(queue: Queue) -> Iterator[None]:
    """The block sends to this queue.

    Raises:
        QueueUnavailable: SQS was away a moment ago; nothing is tried.
    """
    if not rest().allows():
        raise QueueUnavailable(f"{queue.name}: SQS was away a moment ago")
    try:
        yield
    except QueueError as error:
        rest().ended(is_well=not isinstance(error, QueueUnavailable))
        raise
    rest().ended(is_well=True)


@cache
def rest() -> Rest:
    """The process's."""
    return Rest()
