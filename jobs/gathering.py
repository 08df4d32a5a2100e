"""What many threads ask for at the same time, asked in one request.

While as many requests are under way as there may be, the next askers gather, and the first of them asks for all. Who comes
alone asks at once. Where several threads ask again and again within moments, as slots with tiny jobs do, the first waits some
milliseconds for those it may expect: a request for eight costs a third of eight requests, here and at MongoDB. (PostgreSQL's
`commit_delay` is the same thought.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Condition, Lock, get_ident
from time import monotonic
from typing import Generic, TypeVar

from jobs.database import DatabaseUnavailable

A = TypeVar("A")
R = TypeVar("R")

MOST = 100
"""How many share a request."""
LATELY_SECONDS = 0.05
"""Who asked so lately is expected to ask again."""
LINGER_SECONDS = 0.01
"""How long those who are expected are waited for."""


class Gathering(Generic[A, R]):
    """`ask_all` answers several askers in their order. It must be harmless to repeat: where it breaks for several, each is
    asked for alone, so that nobody's fault is another's. That MongoDB is away concerns them all."""

    def __init__(self, ask_all: Callable[[Sequence[A]], Sequence[R]], *, at_once: int = 1) -> None:
        self._ask_all = ask_all
        self._lock = Lock()
        self._all_came = Condition(self._lock)
        self._waiting: list[_Asker[A, R]] = []
        self._may_ask = at_once
        """How many more requests there may be."""
        self._lingers = at_once == 1
        """Else there is company enough while the others are under way."""
        self._asked_at: dict[int, float] = {}
        """When each thread asked last, as far as that was lately."""
        self._expected = 0
        """So many are waited for; 0: nobody waits."""

    def ask(self, wanted: A) -> R:
        """The answer for `wanted`, or what was raised for it."""
        asker = _Asker[A, R](wanted)
        with self._lock:
            if self._lingers:
                self._asked_at[get_ident()] = monotonic()
            asker.leads = self._may_ask > 0
            if asker.leads:
                self._may_ask -= 1
            else:
                self._waiting.append(asker)
                if len(self._waiting) + 1 >= self._expected > 0:
                    self._all_came.notify()
        if not asker.leads:
            asker.called.acquire()
        if asker.leads:
            self._ask_with_those_waiting(asker)
        return asker.answer()

    def _ask_with_those_waiting(self, leader: _Asker[A, R]) -> None:
        """On the thread of the leader, who waits no more."""
        with self._lock:
            if self._lingers:
                self._linger()
            together, self._waiting = [leader, *self._waiting[: MOST - 1]], self._waiting[MOST - 1 :]
        try:
            self._answer(together)
        finally:
            self._call_next()
            for asker in together[1:]:
                asker.called.release()

    def _linger(self) -> None:
        """Let the leader wait for those who asked lately, unless they are here."""
        since = monotonic() - LATELY_SECONDS
        self._asked_at = {thread: at for thread, at in self._asked_at.items() if at > since}
        self._expected = min(len(self._asked_at), MOST)
        self._all_came.wait_for(lambda: len(self._waiting) + 1 >= self._expected, timeout=LINGER_SECONDS)
        self._expected = 0

    def _answer(self, together: list[_Asker[A, R]]) -> None:
        try:
            answers = self._ask_all([asker.wanted for asker in together])
        except Exception as error:  # noqa: BLE001 - each asker raises it on its own thread
            if len(together) == 1 or isinstance(error, DatabaseUnavailable):
                for asker in together:
                    asker.error = error
            else:
                for asker in together:
                    self._answer([asker])
        else:
            for asker, answer in zip(together, answers, strict=True):
                asker.answers = [answer]

    def _call_next(self) -> None:
        with self._lock:
            if not self._waiting:
                self._may_ask += 1
                return
            following = self._waiting.pop(0)
        following.leads = True
        following.called.release()


class _Asker(Generic[A, R]):
    def __init__(self, wanted: A) -> None:
        self.wanted = wanted
        self.called = Lock()
        """Held until there is an answer, or it is this one's turn to ask."""
        self.called.acquire()
        self.leads = False
        self.answers: list[R] = []
        self.error: Exception = DatabaseUnavailable("Whoever asked for this one too broke off; ask again.")

    def answer(self) -> R:
        if not self.answers:
            raise self.error
        return self.answers[0]
