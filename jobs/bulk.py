"""A verb for all jobs that a list shows: how many it concerns, and carrying it out.

Each job is written on its own, and only if its state still allows it; so doing it again goes on with the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import structlog

from jobs.database import Document, available, database
from jobs.dispatch import process_name
from jobs.document import Job
from jobs.draining import drains
from jobs.life import TRANSITIONS, Status
from jobs.listing import MOST_MILLISECONDS, NEWEST_FIRST, Selection
from jobs.quota import room_for
from jobs.sending import send
from jobs.store import store

log = structlog.get_logger()

MOST = 1_000
"""Jobs that one call acts on: a request should not take minutes. What is left takes another."""
COUNTED = 10_000
"""Counting ends here."""
AT_ONCE = 100


class Verb(StrEnum):
    """What can be done to many jobs."""

    CANCEL = "cancel"
    RETRY = "retry"

    @property
    def sources(self) -> frozenset[Status]:
        """The states it starts from."""
        return TRANSITIONS["request_cancel" if self is Verb.CANCEL else "requeue"].sources


@dataclass(frozen=True)
class Meant:
    """The jobs of a selection that a verb is possible for; of `ids`, where some were picked, only those."""

    selection: Selection
    verb: Verb
    ids: tuple[str, ...] = ()

    def count(self) -> int:
        """How many they are, counted up to `COUNTED`.

        Raises:
            NothingToFind, DatabaseUnavailable
        """
        with available():
            jobs = database().collection("jobs")
            return jobs.count_documents(self._filter(), limit=COUNTED, maxTimeMS=MOST_MILLISECONDS)

    def act(self, *, by: str) -> int:
        """Do it to the newest `MOST` of them; how many it was done to. The log names who did it, and so do others' jobs.

        Of his own jobs he starts over as many as he may have open.

        Raises:
            NothingToFind, QueueDraining, DatabaseUnavailable: what was done until then is done.
        """
        found = list(self._found())
        done = self._cancel(found, by) if self.verb is Verb.CANCEL else self._retry(found, by)
        log.info("jobs acted on", verb=self.verb.value, by=by, jobs=done, of=len(found))
        return done

    def _cancel(self, found: list[Document], by: str) -> int:
        asked = (store().request_cancel(job["_id"], job["user_id"], operator=_operator_of(job, by)) for job in found)
        return sum(job is not None for job in asked)

    def _retry(self, found: list[Document], by: str) -> int:
        for kind in {job["kind"] for job in found}:
            drains().refuse_order(kind)
        own = [job["_id"] for job in found if job["user_id"] == by]
        beyond = {*own[max(0, room_for(by)) :]} if own else set()
        allowed = [job for job in found if job["_id"] not in beyond]
        done = 0
        for place in range(0, len(allowed), AT_ONCE):
            waiting = [over for job in allowed[place : place + AT_ONCE] if (over := self._start_over(job, by))]
            send(waiting)  # what can't be sent, the relay sends
            done += len(waiting)
        return done

    def _start_over(self, job: Document, by: str) -> Job | None:
        return store().requeue(job["_id"], by=process_name(), operator=_operator_of(job, by))

    def _found(self) -> Iterator[Document]:
        with available():
            jobs = database().collection("jobs").find(self._filter(), {"user_id": 1, "kind": 1}, max_time_ms=MOST_MILLISECONDS)
            yield from jobs.sort(NEWEST_FIRST).limit(MOST)

    def _filter(self) -> Document:
        wanted = self.selection.filter()
        asked = wanted["status"]["$in"]
        wanted["status"] = {"$in": [status.value for status in sorted(self.verb.sources) if status.value in asked]}
        return wanted | {"$and": [{"_id": {"$in": list(self.ids)}}]} if self.ids else wanted


def _operator_of(job: Document, by: str) -> str | None:
    """Who acts upon another's job; None: it is his own."""
    return by if by != job["user_id"] else None
