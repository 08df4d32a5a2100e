"""A delivery attended to without a Celery worker: by a web process that runs jobs itself, or by a Lambda function.

The task is Celery's and the same, and so is all that it does; only its request is made here.
"""

from __future__ import annotations

from contextlib import suppress

import structlog
from celery.exceptions import Ignore, Retry

from jobs.errors import JobError
from queues.deliveries import Delivery, deliveries
from queues.queue import Message, Queue
from queues.wire import JobMessage
from tasks.kinds import task_of
from tasks.leaving import is_leaving

log = structlog.get_logger()


def hold(queue: Queue, message: Message, job: JobMessage) -> Delivery:
    """Take a message into the process's registry. For the one thread that hands its deliveries out."""
    deliveries().arrive(queue, message, job)
    delivery = deliveries().next_arrival(None)
    assert delivery is not None  # only `close` ends the wait, which is a worker's
    return delivery


def attend(delivery: Delivery, worker: str) -> None:
    """Do what the delivery is there for, in this thread. It is settled afterwards, and how its job got on stands in the job.

    With the process told to stop, what is not settled then is for `tasks.leaving.release`.
    """
    task = task_of(delivery.job.kind)
    task.push_request(id=delivery.job.job_id, properties={"delivery_tag": delivery.tag}, hostname=worker, retries=0)
    try:
        with suppress(Ignore, Retry, JobError):
            task(delivery.job.job_id)
    except Exception:
        log.exception("a task broke out of its ritual", job_id=delivery.job.job_id)
    finally:
        task.pop_request()
        if not is_leaving():  # then whoever hands the job back settles its delivery, or lets it go
            deliveries().settle(delivery.tag)
