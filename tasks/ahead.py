"""Jobs that are claimed before there is a slot for them, many in one request.

Where jobs come faster than slots get free, what waits in the process is claimed by a thread of its own: a slot that gets free
finds its next job claimed, and a claim of sixteen costs MongoDB little more than one of a single job. Such a job asks nobody
until it has its slot; until then its lease is kept, and it is handed back like others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from secrets import token_hex
from threading import Condition, Thread

import structlog

from jobs.start_and_end import Claim
from jobs.store import store
from queues.catalogue import kind_named
from queues.deliveries import AHEAD, Delivery
from queues.steps import Step, reached
from tasks.beat import Held, beat
from tasks.hold import Hold
from tasks.patience import patiently

log = structlog.get_logger()

FEW = AHEAD // 2
"""With so many left, the next are claimed."""


class Ahead:
    """What is claimed ahead, by the delivery's tag. The slot that takes a delivery up takes its claim along, if it has one."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._offered: dict[str, tuple[Delivery, str]] = {}
        """What waits for a slot and is not claimed, in the order of its coming, and for which worker."""
        self._claiming: Mapping[str, tuple[Delivery, str]] = {}
        """What is being claimed just now."""
        self._claimed: dict[str, Held] = {}
        self._thread: Thread | None = None

    def offer(self, delivery: Delivery, worker: str) -> None:
        """There is no slot for this delivery yet. Whoever offers it must `take` it in the end, come what may."""
        if delivery.job.order is not None or kind_named(delivery.job.kind).fifo:
            return
        with self._changed:
            self._offered[delivery.tag] = delivery, worker
            if self._thread is None:
                self._thread = Thread(target=self._keep_claiming, name="claims-ahead", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def take(self, tag: str) -> Held | None:
        """The job of this delivery, claimed and kept; None: nobody has claimed it for us, and nobody will."""
        with self._changed:
            if self._offered.pop(tag, None) is not None:
                return None
            self._changed.wait_for(lambda: tag not in self._claiming)
            held = self._claimed.pop(tag, None)
            if held is not None and self._is_due():
                self._changed.notify_all()
            return held

    def forget(self, tag: str) -> None:
        """Keep no lease for a delivery that its slot has not taken."""
        held = self.take(tag)
        if held is not None:
            beat().drop(held)

    def withdraw(self) -> None:
        """Claim nothing more of what was offered."""
        with self._changed:
            self._offered.clear()

    def count(self) -> int:
        """How many jobs are claimed, or about to be, and have no slot."""
        with self._changed:
            return len(self._claiming) + len(self._claimed)

    def _is_due(self) -> bool:
        return bool(self._offered) and len(self._claimed) <= FEW

    def _keep_claiming(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._is_due)
                first = [*self._offered][: AHEAD - len(self._claimed)]
                self._claiming = {tag: self._offered.pop(tag) for tag in first}
            claimed: dict[str, Held] = {}
            try:
                for held in _claimed([*self._claiming.values()]):
                    claimed[held.delivery.tag] = held
                    beat().keep(held)
            except Exception:
                log.exception("claiming ahead broke; each job is claimed by its slot")
            with self._changed:
                self._claimed |= claimed
                self._claiming = {}
                self._changed.notify_all()


def _claimed(offered: Sequence[tuple[Delivery, str]]) -> Iterator[Held]:
    """Those of these that could be claimed. The others are for their slots to look at, jobs whose lease ran out among them."""
    tokens = token_hex(16 * len(offered))  # all in one: each asking gives the interpreter away
    claims = [
        Claim(
            job_id=delivery.job.job_id,
            kind=delivery.job.kind,
            token=tokens[32 * place : 32 * (place + 1)],
            worker=worker,
            message_id=delivery.message.message_id,
            takes_over=False,
        )
        for place, (delivery, worker) in enumerate(offered)
    ]
    for (delivery, _), claim, job in zip(offered, claims, patiently(partial(store().claim_many, claims)), strict=True):
        if job is not None:
            reached(Step.CLAIMED, job.id)
            hold = Hold(job.id, claim.token, max_seconds=kind_named(job.kind).max_seconds)
            yield Held(job, hold, delivery, on_time_out=lambda: None)  # its clock does not run yet


@cache
def ahead() -> Ahead:
    """The process's."""
    return Ahead()
