"""A plain boto3 worker, tuned: one thread long-polls for ten, a pool works; each message is deleted when its job is done.

    python loop.py QUEUE_URL SLOTS single|batch VISIBILITY_SECONDS

With `batch` the deletes are gathered to tens.
"""

from __future__ import annotations

import json
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Thread
from time import monotonic
from typing import Any

import boto3
from botocore.config import Config

sys.path.insert(0, str(Path(__file__).parents[1]))
import work

GATHER_SECONDS = 0.03


def main(url: str, slots: int, deleting: str, visibility_seconds: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sqs = boto3.client("sqs", config=Config(max_pool_connections=slots + 4, tcp_keepalive=True))
    done: SimpleQueue[str] = SimpleQueue()
    room = BoundedSemaphore(slots + 10)  # ten wait, so that no slot does
    work.prepare()
    if deleting == "batch":
        Thread(target=delete_by_tens, args=(sqs, url, done), daemon=True).start()

    def handle(message: dict[str, Any]) -> None:
        try:
            asked = json.loads(message["Body"])
            if seconds := asked.get("seconds"):
                work.sleep_without_claim(asked["jobId"], seconds)
            else:
                work.perform(asked["jobId"])
            if deleting == "batch":
                done.put(message["ReceiptHandle"])
            else:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        finally:
            room.release()

    print("ready", flush=True)
    with ThreadPoolExecutor(slots) as pool:
        while True:
            answer = sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=20, VisibilityTimeout=visibility_seconds
            )
            for message in answer.get("Messages", []):
                room.acquire()
                pool.submit(handle, message)


def delete_by_tens(sqs: Any, url: str, done: SimpleQueue[str]) -> None:
    while True:
        handles, until = [done.get()], monotonic() + GATHER_SECONDS
        while len(handles) < 10 and (left := until - monotonic()) > 0:
            try:
                handles.append(done.get(timeout=left))
            except Empty:
                break
        entries = [{"Id": str(place), "ReceiptHandle": handle} for place, handle in enumerate(handles)]
        sqs.delete_message_batch(QueueUrl=url, Entries=entries)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
