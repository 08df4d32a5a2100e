"""What the tests of sending share: jobs put into the database as they are, time that has passed, what is in a queue."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.document import Job
from jobs.store import store
from queues.queue import Message, queue_for
from tests.jobs.jobs import document

PAST = datetime.now(UTC) - timedelta(hours=1)
FUTURE = datetime.now(UTC) + timedelta(days=1)
"""However long all tests take: it is reckoned once, before the first."""
FREE = {"n": 0, "by": None, "until": None, "at": None}
"""The dispatch of a job that nobody has sent yet."""


def put(database: Any, *args: Any, **fields: Any) -> Job:
    """A job as a document of the tests; unsent and free to be sent unless the fields say otherwise."""
    made = document(*args, **{"dispatch": FREE, **fields})
    database.jobs.insert_one(made)
    return read(made["_id"])


def read(job_id: str) -> Job:
    job = store().get(job_id)
    assert job is not None
    return job


def let_time_pass(database: Any, **wanted: Any) -> None:
    """The dispatches of these jobs were taken an hour ago."""
    database.jobs.update_many(wanted, {"$set": {"dispatch.at": PAST}})
    database.jobs.update_many(wanted | {"dispatch.until": {"$ne": None}}, {"$set": {"dispatch.until": PAST}})


def receive_all(kind: str = "articles", lane: str = "normal") -> list[Message]:
    messages: list[Message] = []
    while more := queue_for(kind, lane).receive(10, visibility_seconds=60, wait_seconds=0):
        messages += more
    return messages


def in_queue(kind: str = "articles", lane: str = "normal") -> Counter[str]:
    """How many messages there are for each job, by its id. They stay invisible for a while."""
    return Counter(json.loads(message.body)["jobId"] for message in receive_all(kind, lane))
