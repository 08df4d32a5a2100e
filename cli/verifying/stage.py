"""Where the scenarios play: the queues and the database of the settings, an AI service that counts, a fleet of workers.

The settings of this process name queues and a database that belong to nobody else (`cli.verifying.ground`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Lock, Thread
from typing import TypeVar

from cli.verifying.dead_letters import DeadLetters
from cli.verifying.fleet import Fleet, WorkerProcess
from cli.verifying.waiting import wait_until
from cli.verifying.ways import Ways, ways_to
from devstack.ai_service import AiService
from devstack.faults import Fault, plant
from devstack.watchdog import Watchdog
from queues.receiver import VISIBILITY_BEYOND_LEASE_SECONDS
from settings import settings

KINDS_OF_FLEET = ("articles", "videos", "thumbnails")
KIND_APART = "images"
"""Served by workers that a scenario starts for itself."""
WORKERS = 2
SLOTS = 12
PATIENCE_SECONDS_LEAST = 120
PATIENCE_LEASES = 10
END_SECONDS = 10

T = TypeVar("T")


class Closed(Exception):
    """The verification ends: what still plays ends too."""


class Stage:
    """Open while the scenarios play. `directory` holds the workers' logs and the planted faults."""

    def __init__(self, directory: Path, watchdog: Watchdog, service: AiService, ways: Ways) -> None:
        self.service = service
        self.ways = ways
        self.dead_letters = DeadLetters()
        self.accepted: list[str] = []
        """Every job that was accepted, by any scenario."""
        self.accepting = Lock()
        self.killing = Lock()
        self.visibility_seconds = settings().lease_seconds + VISIBILITY_BEYOND_LEASE_SECONDS
        self.patience_seconds = max(PATIENCE_SECONDS_LEAST, PATIENCE_LEASES * settings().lease_seconds)
        self._directory = directory
        self._watchdog = watchdog
        self._faults = directory / "faults"
        self._faults.mkdir(parents=True, exist_ok=True)
        self._closed = Event()
        self._threads: list[Thread] = []
        self.fleet = Fleet(lambda: self.worker(*KINDS_OF_FLEET), WORKERS)

    def worker(self, *kinds: str, slots: int = SLOTS, **variables: str) -> WorkerProcess:
        """Start a worker beside the fleet; whoever started it stops it."""
        environment = self.ways.variables | {"PRESSROOM_FAULTS_DIRECTORY": str(self._faults)} | variables
        return WorkerProcess(self._directory, self._watchdog, kinds, environment, slots)

    def play_aside(self, what: Callable[[], None]) -> None:
        """Play on a thread of its own, which ends with the stage."""
        thread = Thread(target=what, daemon=True)
        self._threads.append(thread)
        thread.start()

    def wait_for(self, condition: Callable[[], T | None], what: str) -> T:
        """What `condition` answers once it answers something true, within the stage's patience.

        Raises:
            NeverHappened: it did not.
            Closed: the stage is closed.
        """

        def holds() -> T | None:
            self._check()
            return condition()

        return wait_until(holds, what, self.patience_seconds)

    def let_pass(self, seconds: float) -> None:
        """Let this time pass, where it is a scenario's content: the length of an outage."""
        self._closed.wait(seconds)
        self._check()

    def close(self) -> None:
        """End the scenarios that still play, and the fleet."""
        self._closed.set()
        self.fleet.stop()
        for thread in self._threads:
            thread.join(END_SECONDS)

    def _check(self) -> None:
        if self._closed.is_set():
            raise Closed

    def plant(self, fault: Fault) -> Path:
        """Let a worker of the fleet have this fault; the file is gone once it happened."""
        return plant(fault, self._faults)


@contextmanager
def open_stage(directory: Path, watchdog: Watchdog, service: AiService) -> Iterator[Stage]:
    """A stage whose fleet is ready, with `service` as its AI service; on leaving, everything it started has ended."""
    with ExitStack() as opened:
        ways = ways_to(service.address)
        opened.callback(ways.close)
        stage = Stage(directory, watchdog, service, ways)
        opened.callback(stage.close)
        stage.fleet.wait_until_ready()
        yield stage
