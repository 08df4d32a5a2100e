"""A worker says that it lives, and ends when it does not receive any more.

A thread looks at the process's receivers every few seconds and writes what it sees into the worker's document. A receiver
that could have asked SQS for messages and did not for a minute will not do so again: the worker ends, with an exit status that
is not zero, for whoever runs it to start it anew. Its jobs may be well, so they end in order or are handed back first.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from itertools import groupby
from operator import attrgetter
from threading import Event, Lock, Thread
from time import monotonic, sleep

import structlog
from celery.signals import worker_shutting_down
from celery.worker import state

from jobs.database import DatabaseUnavailable, PyMongoError
from jobs.pace import pace
from jobs.workers import OwnDocument
from queues import receiver
from queues.clients import READ_SECONDS
from queues.receiver import Receiver
from settings import settings

log = structlog.get_logger()

STUCK = os.EX_SOFTWARE
"""The exit status of a worker that does not receive any more."""
BEYOND_GRACE_SECONDS = 10
"""A worker that could not end in order this long after its jobs' grace is ended all the same."""


class Liveness:
    """Watches over this worker from a thread of its own. `slots` answers how many it has."""

    def __init__(self, node: str, slots: Callable[[], int]) -> None:
        self._node = node
        self._slots = slots
        self._document = OwnDocument(node)
        self._written_at = -math.inf
        self._watched: dict[Receiver, _Watch] = {}
        self._stopped = Event()
        self._writing = Lock()
        self._thread = Thread(target=self._run, name="liveness", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The worker ends in order: its document goes."""
        self._stopped.set()
        try:
            with self._writing:  # what is being written now would stand again
                self._document.remove()
        except DatabaseUnavailable as error:
            log.warning("the worker's document stays until it is too old", worker=self._node, reason=str(error))

    def _run(self) -> None:
        while not self._stopped.wait(pace().look):
            receivers = sorted(receiver.running, key=attrgetter("kind"))
            if monotonic() - self._written_at >= pace().beat:
                self._write(receivers)
            if not _is_ending() and (stuck := self._stuck(receivers)):
                self._end(stuck)

    def _write(self, receivers: list[Receiver]) -> None:
        by_kind = {kind: [*lanes] for kind, lanes in groupby(receivers, key=attrgetter("kind"))}
        try:
            with self._writing:
                if self._stopped.is_set():
                    return
                self._document.write(
                    slots=self._slots(),
                    running=len(state.active_requests),
                    last_receive={kind: min(each.last_receive for each in lanes) for kind, lanes in by_kind.items()},
                    last_attempt={kind: min(each.last_attempt for each in lanes) for kind, lanes in by_kind.items()},
                    receives_per_minute={kind: sum(each.received.rate for each in lanes) for kind, lanes in by_kind.items()},
                )
        except (DatabaseUnavailable, PyMongoError) as error:
            log.warning("the worker's document could not be written; trying on", worker=self._node, reason=str(error))
        else:
            self._written_at = monotonic()

    def _stuck(self, receivers: list[Receiver]) -> list[Receiver]:
        self._watched = {each: self._watched.get(each) or _Watch(each) for each in receivers}
        return [each for each, watch in self._watched.items() if watch.finds_it_stuck()]

    def _end(self, stuck: list[Receiver]) -> None:
        """End the worker as SIGTERM would, with our exit status; at the latest some time after its jobs' grace."""
        log.critical(
            "the worker does not receive any more; it ends, to be started anew",
            worker=self._node,
            queues=sorted({each.kind for each in stuck}),
            silent_seconds=round(monotonic() - min(each.last_attempt for each in stuck)),
        )
        worker_shutting_down.send(sender=self._node, sig="SIGTERM", how="Warm", exitcode=STUCK)
        state.should_stop = STUCK
        sleep(settings().shutdown_grace_seconds + BEYOND_GRACE_SECONDS)
        logging.shutdown()
        os._exit(STUCK)


class _Watch:
    """How often in a row a receiver was seen idle that could have received.

    Looks are counted, not seconds: a process that was itself stopped for a while (a laptop's lid, a debugger) is not stuck.
    """

    def __init__(self, watched: Receiver) -> None:
        self._receiver = watched
        self._seen = watched.last_attempt
        self._idle_looks = 0

    def finds_it_stuck(self) -> bool:
        if not self._receiver.is_alive:
            return True
        seen, self._seen = self._seen, self._receiver.last_attempt
        could_receive = self._receiver.had_room and not self._receiver.is_paused
        self._idle_looks = self._idle_looks + 1 if could_receive and seen == self._seen else 0
        return self._idle_looks * pace().look >= silent_seconds_most()


def silent_seconds_most() -> float:
    """How long a working receive loop may go without an attempt: a long poll, and SQS slow about its queue's address too."""
    return max(pace().alive, settings().sqs_wait_time_seconds + 2 * READ_SECONDS)


def _is_ending() -> bool:
    """Whether this worker was told to stop; the status 0 is such a word too."""
    return any(told is not None and told is not False for told in (state.should_stop, state.should_terminate))


_own: list[Liveness] = []


def start(node: str, slots: Callable[[], int]) -> None:
    """Watch over this worker process from now on, under its node's name."""
    liveness = Liveness(node, slots)
    _own.append(liveness)
    liveness.start()


def stop() -> None:
    """The worker ends in order."""
    while _own:
        _own.pop().stop()
