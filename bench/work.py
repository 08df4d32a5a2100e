"""The tiny job, the same code for all systems: claim, insert a result, finish. It imports nothing but pymongo.

Pressroom claims and finishes by itself; its handler only inserts the result.
"""

from __future__ import annotations

import os
import time
from functools import cache
from typing import Any

from pymongo import MongoClient

JOBS, RESULTS, STARTS = "bench_jobs", "bench_results", "bench_starts"


@cache
def database() -> Any:
    """The process's database."""
    client: MongoClient[dict[str, Any]] = MongoClient(os.environ["MONGODB_URI"])
    return client[os.environ["MONGODB_DATABASE"]]


def prepare() -> None:
    """Connect before the first job."""
    database().command("ping")


def perform(job_id: str) -> None:
    """What a peer does for a message."""
    job = database()[JOBS].find_one_and_update({"_id": job_id, "status": "queued"}, {"$set": {"status": "processing"}})
    if job is None:
        return
    generate(job_id, job["payload"])
    database()[JOBS].update_one(
        {"_id": job_id, "status": "processing"},
        {"$set": {"status": "completed"}, "$currentDate": {"finished_at": True}},
    )


def generate(job_id: str, payload: dict[str, Any], results: Any = None) -> None:
    """Insert the result. A payload may ask for seconds of sleep, which stand for the call to an AI provider.

    A worker with a client of its own gives that one's collection.
    """
    began = time.time()
    if seconds := payload.get("seconds"):
        time.sleep(seconds)
    (database()[RESULTS] if results is None else results).insert_one({"_id": job_id, "text": "done", "began": began})


def note_start(job_id: str) -> None:
    """For jobs that may be run more than once, or never end: each run leaves its start."""
    database()[STARTS].insert_one({"job_id": job_id, "began": time.time()})


def sleep_without_claim(job_id: str, seconds: float) -> None:
    """A long job of a worker that claims nothing, as the documents' workers are written."""
    note_start(job_id)
    time.sleep(seconds)
    database()[JOBS].update_one({"_id": job_id}, {"$set": {"status": "completed"}, "$currentDate": {"finished_at": True}})
