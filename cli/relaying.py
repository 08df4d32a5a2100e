"""A process that is a relay for every kind."""

from __future__ import annotations

import signal
from threading import Event
from types import FrameType

import providers.cancelling  # noqa: F401 - performs the cancels of generations
from jobs.relay import Relay, start_in_background
from jobs.samples import take_sample
from jobs.spending import wake_affordable
from monitoring import cloudwatch
from monitoring.logs import configure_logging
from monitoring.tracing import start_tracing
from providers.outages import probe_due
from queues.catalogue import KINDS
from queues.clients import QueueError, sqs
from settings import SettingsError, settings

ALSO = (probe_due, wake_affordable, cloudwatch.publish, take_sample)


def run() -> int:
    """Rounds until the process is told to stop; the exit status."""
    _prepare()
    told = Event()

    def tell(number: int, frame: FrameType | None) -> None:
        told.set()

    signal.signal(signal.SIGTERM, tell)
    signal.signal(signal.SIGINT, tell)
    stop = start_in_background(KINDS, also=ALSO)
    told.wait()
    stop()  # what it is at may be left at any line: the next round, of whichever relay, goes on with it
    return 0


def run_once() -> int:
    """One round and its report; the exit status."""
    _prepare()
    report = Relay(KINDS, also=ALSO).round()
    print(report)
    return 1 if report.faults else 0


def _prepare() -> None:
    try:
        settings()
        configure_logging()
        start_tracing("relay")
        sqs()
    except (SettingsError, QueueError) as error:
        raise SystemExit(f"The relay can't start.\n{error}") from None
