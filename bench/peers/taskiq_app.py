"""taskiq with taskiq-aio-sqs, receiving by tens."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from taskiq_aio_sqs import SQSBroker

sys.path.insert(0, str(Path(__file__).parents[1]))
import work

broker = SQSBroker(
    os.environ["BENCH_QUEUE_URL"].rpartition("/")[2],
    endpoint_url=os.environ["AWS_ENDPOINT_URL"],
    region_name=os.environ["AWS_REGION"],
    aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
    aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    wait_time_seconds=20,
    max_number_of_messages=10,
    visibility_timeout=900,
)


@broker.task(task_name="tiny")
def tiny(job_id: str) -> None:
    work.perform(job_id)


async def submit() -> None:
    await broker.startup()
    ids = [line.strip() for line in sys.stdin]
    for place in range(0, len(ids), 50):
        await asyncio.gather(*(tiny.kiq(job_id) for job_id in ids[place : place + 50]))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(submit())
