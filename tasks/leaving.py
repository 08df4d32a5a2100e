"""How a worker leaves when it is told to (SIGTERM, to the process or its whole group).

It receives no more. What is free to give up is with another worker in about a second: jobs that have not asked their provider
yet, and those that wait on a generation that a checkpoint names. A call that is under way gets `SHUTDOWN_GRACE_SECONDS` to end
and be recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from time import monotonic, sleep

import structlog

from jobs.counters import add
from jobs.database import DatabaseUnavailable
from jobs.dispatch import dispatches, process_name
from jobs.sending import send
from jobs.store import store
from providers.choice import provider_named
from queues.catalogue import kind_named
from queues.deliveries import Delete, deliveries
from queues.settling import settler
from queues.steps import Step, reached
from settings import settings
from tasks.beat import Held, beat
from tasks.claiming import is_last_receive

log = structlog.get_logger()

LOOK_SECONDS = 0.05
FLUSH_SECONDS = 5
"""How long the last deletes may take to reach SQS."""


class Receipt:
    """What became of the jobs that ran when the worker was told to stop."""

    def __init__(self) -> None:
        self.running = 0
        self.handed_back = 0


receipt = Receipt()
_leaving = Event()


def is_leaving() -> bool:
    """Whether this worker was told to stop."""
    return _leaving.is_set()


def leave(count_busy: Callable[[], int], *, grace_seconds: float | None = None) -> None:
    """Return once nothing runs here any more that is worth waiting for. `count_busy` tells how many jobs are in hand.

    Calls under way get `grace_seconds`, or `SHUTDOWN_GRACE_SECONDS`.
    """
    _leaving.set()
    receipt.running = len(beat().held())
    deadline = monotonic() + (settings().shutdown_grace_seconds if grace_seconds is None else grace_seconds)
    given_up: list[Held] = []
    while True:
        given_up = _hand_back([*given_up, *(held for held in beat().held() if held.hold.hand_back())])
        not_waited_for = sum(held.hold.end in ("handed back", "lost") for held in beat().held())
        if count_busy() <= not_waited_for and not given_up:
            return
        if monotonic() > deadline:
            break
        sleep(LOOK_SECONDS)
    late = [held for held in beat().held() if held.hold.hand_back(whatever_it_costs=True)]
    for held in late:
        log.warning("a call to the provider did not end in time; another worker asks again", **held.job.log_context())
        if not provider_named(held.job.provider).pays_once:
            add("generations_repeated", kind=held.job.kind)
    if left := _hand_back([*given_up, *late]):
        log.warning("jobs could not be handed back, with MongoDB away; their leases run out", jobs=len(left))


def come_back() -> None:
    """Work again: the process was told to stop for a while only, as that of a Lambda function is."""
    _leaving.clear()


def release() -> None:
    """Let what was received and not begun go to another worker."""
    _replace_last_receives()
    deliveries().release()


def let_go() -> None:
    """What was received and not begun goes to another worker; what was decided reaches SQS; the receipt is written."""
    release()
    if not settler().flush(FLUSH_SECONDS):
        log.warning("not every acknowledgement reached SQS; those messages come again, to no effect")
    log.info("worker left", finished=receipt.running - receipt.handed_back, handed_back=receipt.handed_back)


def _replace_last_receives() -> None:
    """A message on its last receive is not put back: its job forgets it, and the relay sends another.

    (One that orders a job which is not there yet has no job to forget it. SQS keeps it as a dead letter.)
    """
    for delivery in deliveries().all():
        if delivery.job.order is not None or not is_last_receive(kind_named(delivery.job.kind), delivery.message):
            continue
        try:
            store().forget_message(delivery.job.job_id, delivery.message.message_id)
        except DatabaseUnavailable:
            return  # SQS makes dead letters of them, and the relay sends their jobs once it misses them
        deliveries().settle(delivery.tag, Delete())


def _hand_back(given_up: list[Held]) -> list[Held]:
    """Jobs first, then fresh messages, then the old ones: a kill in between leaves jobs that the relay sends.

    Answers those that are still to be handed back, because MongoDB is away.
    """
    returned: list[Held] = []
    left: list[Held] = []
    for place, held in enumerate(given_up):
        try:
            is_returned = store().hand_back(held.job.id, held.hold.token)
        except DatabaseUnavailable:  # each try takes seconds then, and the others would fare no better
            left = given_up[place:]
            break
        reached(Step.PUT_OFF, held.job.id)
        if is_returned:
            returned.append(held)
    if returned:
        _send_anew(returned)
    return left


def _send_anew(returned: list[Held]) -> None:
    try:
        send(dispatches().take([held.job.with_message(None) for held in returned], process_name()))
    except DatabaseUnavailable as error:
        log.warning("jobs were handed back without a message; the relay sends them", jobs=len(returned), reason=str(error))
    for held in returned:
        deliveries().settle(held.delivery.tag, Delete())
        log.info("job handed back", **held.job.log_context())
        add("handbacks", kind=held.job.kind)
    receipt.handed_back += len(returned)
