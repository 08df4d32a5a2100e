"""Dramatiq with dramatiq_sqs, as its README has it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import dramatiq
from dramatiq_sqs import SQSBroker

sys.path.insert(0, str(Path(__file__).parents[1]))
import work

broker = SQSBroker(visibility_timeout=900)
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=os.environ["BENCH_QUEUE_URL"].rpartition("/")[2])
def tiny(job_id: str) -> None:
    work.perform(job_id)


if __name__ == "__main__":
    for line in sys.stdin:
        tiny.send(line.strip())
