"""Stock Celery on SQS, as its documentation has it: messages are deleted after the task, PREFETCH a slot."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from celery import Celery

sys.path.insert(0, str(Path(__file__).parents[1]))
import work

url = os.environ["BENCH_QUEUE_URL"]
name = url.rpartition("/")[2]
app = Celery("peer", broker="sqs://")
app.conf.update(
    broker_transport_options={
        "region": os.environ["AWS_REGION"],
        "visibility_timeout": 900,
        "wait_time_seconds": 20,
        "predefined_queues": {
            name: {
                "url": url,
                "access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
                "secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
            }
        },
    },
    broker_connection_retry_on_startup=True,
    task_default_queue=name,
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=int(os.environ.get("PREFETCH", "4")),
)


@app.task(name="tiny")
def tiny(job_id: str) -> None:
    work.perform(job_id)


if __name__ == "__main__":
    for line in sys.stdin:
        tiny.delay(line.strip())
