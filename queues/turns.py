"""Which of a kind's lanes asks for messages next: the high lane first, and after nine messages of it the normal one.

A lane asks without waiting, in its turn, and the next one asks for the room that is left. A lane that was found empty rests on
a long poll: as long as it does, the other need not wait for it, and nothing is asked oftener than long polls come to an end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from queues.catalogue import HIGH, NORMAL
from queues.limits import BATCH_MESSAGES

HIGH_IN_A_ROW = 9
"""After so many messages of the high lane the normal lane is asked first."""


class Turns:
    """Shared by the receivers of a kind's lanes, one for each lane; each calls from a thread of its own."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._resting: set[str] = set()
        self._asking: str | None = None
        self._changed = Condition()

    @contextmanager
    def turn(self, lane: str, seconds: float) -> Iterator[int]:
        """Wait up to `seconds` for the lane's turn; it lasts as long as the block. Yields how many messages it may take.

        None (0) where the turn did not come.
        """
        with self._changed:
            came = self._changed.wait_for(lambda: self._may_ask(lane), timeout=seconds)
            most = self._most(lane) if came else 0
            if came:
                self._asking = lane
        try:
            yield most
        finally:
            if came:
                with self._changed:
                    self._asking = None
                    self._changed.notify_all()

    @contextmanager
    def rest(self, lane: str) -> Iterator[None]:
        """Inside the block nothing can be had from the lane without waiting for it."""
        with self._changed:
            self._resting.add(lane)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._resting.discard(lane)

    def asked(self, lane: str, messages: int) -> None:
        """The lane was asked in its turn, and has brought so many messages."""
        with self._changed:
            self._in_a_row = self._in_a_row + messages if lane == HIGH else 0
            self._changed.notify_all()

    def _may_ask(self, lane: str) -> bool:
        first = NORMAL if self._in_a_row >= HIGH_IN_A_ROW else HIGH
        return self._asking is None and (lane == first or first in self._resting)

    def _most(self, lane: str) -> int:
        """Of the high lane no more than are left in the row; of the normal one, between two rows, one."""
        if lane == HIGH:
            return BATCH_MESSAGES if NORMAL in self._resting else max(HIGH_IN_A_ROW - self._in_a_row, 1)
        return BATCH_MESSAGES if HIGH in self._resting else 1
