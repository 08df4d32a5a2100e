"""Receive messages of one queue on a thread of its own, as many as the process has room for."""

from __future__ import annotations

import random
from threading import Event, Thread
from time import monotonic

import structlog

from queues.clients import QueueError, QueueMissing
from queues.deliveries import Deliveries
from queues.queue import Message, Outgoing, Queue, dead_letters_of, queue_for
from queues.steps import Step, reached
from queues.wire import MalformedMessage, decode
from settings import settings

log = structlog.get_logger()

VISIBILITY_BEYOND_LEASE_SECONDS = 5
"""A dead worker's message comes back this long after its lease ended."""
BACKOFF_SECONDS = 0.5
BACKOFF_MOST_SECONDS = 15
ROOM_SECONDS = 1
"""How often a receiver without room looks whether it was stopped."""

running: set[Receiver] = set()
"""Those that are to receive just now, for whoever watches over them."""


class Receiver:
    """Long-polls a kind's queue while there is room, and takes what comes into the registry. SQS being away is waited out."""

    def __init__(self, kind: str, held: Deliveries) -> None:
        self.kind = kind
        self._held = held
        self._stopped = Event()
        self.last_receive = monotonic()
        """When SQS last answered a receive, by the monotonic clock."""
        self.last_attempt = self.last_receive
        """When a receive last came to its end, be it in vain."""
        self.had_room = False
        self._thread = Thread(target=self._run, name=f"receiver-{kind}", daemon=True)

    def start(self) -> None:
        running.add(self)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Receive no more. A long poll under way may still end with messages; they are let go at once."""
        running.discard(self)
        self._stopped.set()

    def _run(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            room = self._held.wait_for_room(ROOM_SECONDS)
            self.had_room = room > 0
            if self._stopped.is_set() or not room:
                continue
            reached(Step.POLLING, self.kind)
            try:
                queue = queue_for(self.kind)
                messages = queue.receive(room, visibility_seconds=settings().lease_seconds + VISIBILITY_BEYOND_LEASE_SECONDS)
            except QueueError as error:
                failures += 1
                self.last_attempt = monotonic()
                self._wait_out(failures, error)
                continue
            if failures:
                log.info("the queue answers again", kind=self.kind)
                failures = 0
            self.last_receive = self.last_attempt = monotonic()
            if self._stopped.is_set():
                self._let_go(queue, messages)
            else:
                self._take(queue, messages)

    def _wait_out(self, failures: int, error: QueueError) -> None:
        if failures == 1 or isinstance(error, QueueMissing):
            log.warning("can't receive; trying on", kind=self.kind, reason=str(error))
        longest = min(BACKOFF_SECONDS * 2 ** min(failures, 10), BACKOFF_MOST_SECONDS)
        self._stopped.wait(random.uniform(longest / 2, longest))

    def _take(self, queue: Queue, messages: list[Message]) -> None:
        for message in messages:
            try:
                job = decode(message.body)
            except MalformedMessage as error:
                self._set_aside(queue, message, str(error))
            else:
                self._held.arrive(queue, message, job)

    def _let_go(self, queue: Queue, messages: list[Message]) -> None:
        try:
            queue.change_visibility({message.receipt_handle: 0 for message in messages})
        except QueueError as error:
            log.warning("messages received while stopping come again later", kind=self.kind, reason=str(error))

    def _set_aside(self, queue: Queue, message: Message, reason: str) -> None:
        """Into the dead-letter queue with its reason, then off the queue: it stops nobody behind it."""
        attributes = {"Reason": {"DataType": "String", "StringValue": reason}}
        try:
            dead_letters_of(self.kind).send(Outgoing(message.body, attributes))
            queue.delete([message.receipt_handle])
        except QueueError as error:
            log.warning("a malformed message comes again", kind=self.kind, message_id=message.message_id, reason=str(error))
        else:
            log.error("malformed message set aside", kind=self.kind, message_id=message.message_id, reason=reason)
