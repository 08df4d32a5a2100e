"""What every figure stands on: MongoDB as the tests have it, MiniStack's SQS, everything on the loopback address."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import boto3
from pymongo import MongoClient

from bench.environments import HERE, PLACE, python_of
from devstack import mongod
from devstack.server import Server, free_port
from devstack.watchdog import Watchdog

START_SECONDS = 30
OWN_NAMES = ("AWS_", "SQS_", "CELERY_", "MONGODB_", "OPENAI_", "REPLICATE_", "AI_", "USER_", "LEASE_", "MONITOR_")
"""Variables of the shell that begin so are put away: what is measured are the shipped defaults."""


class Ground:
    """The servers. `environment` is that of every process under measurement."""

    def __init__(self) -> None:
        self.directory = PLACE / "runs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        self.directory.mkdir(parents=True, exist_ok=True)
        self._watchdog = Watchdog(self.directory)
        self.mongod = mongod.start(self.directory / "mongodb" / "data", self._watchdog)
        self.sqs = self._start_sqs()
        self.environment = self._environment()
        os.environ.clear()
        os.environ.update(self.environment)  # our own submissions go the same way
        self.client: Any = boto3.client("sqs")
        self.mongo: MongoClient[dict[str, Any]] = MongoClient(self.mongod.uri, tz_aware=True)
        self.database = self.mongo[self.environment["MONGODB_DATABASE"]]

    def _start_sqs(self) -> Server:
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        words = [str(python_of("ministack")), str(HERE / "sqs_server.py"), str(port)]
        server = Server("SQS", self._watchdog.command(words, "store"), self.directory / "sqs.log")
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                urlopen(f"{self.endpoint}/bench/counts", timeout=1).close()
                return server
            except (URLError, OSError):
                if not server.is_running or time.monotonic() > until:
                    raise server.fault() from None
                time.sleep(0.05)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN_NAMES)}
        return kept | {
            "MONGODB_URI": self.mongod.uri,
            "MONGODB_DATABASE": f"bench_{secrets.token_hex(3)}",
            "QUEUE_PREFIX": "bench-",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AUTH": "off",
        }

    def listed(self, words: list[str]) -> list[str]:
        """A command that ends with this process, however that ends."""
        return self._watchdog.command(words, "app")

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def make_queue(self, name: str, visibility_seconds: int = 900) -> str:
        """A queue's URL; the queue is made where it is not there."""
        attributes = {"VisibilityTimeout": str(visibility_seconds), "ReceiveMessageWaitTimeSeconds": "20"}
        url: str = self.client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url

    def messages_in(self, url: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def requests(self, queue: str) -> Counter[str]:
        """The requests that the server has got for a queue so far, by action."""
        with urlopen(f"{self.endpoint}/bench/counts") as answer:
            return Counter(json.load(answer).get(queue, {}))

    @contextmanager
    def second_mongod(self) -> Iterator[tuple[str, Server]]:
        """Another MongoDB: the address of its database, and the server."""
        server = mongod.start(self.directory / "second" / "data", self._watchdog)
        try:
            yield server.uri.replace("/?", "/monitor?"), server
        finally:
            server.stop()

    def versions(self) -> list[str]:
        kernel = subprocess.run(["uname", "-sr"], capture_output=True, text=True, check=True).stdout.strip()
        return [f"{kernel}, {os.cpu_count()} processors", f"MongoDB {self.mongo.server_info()['version']}"]

    def close(self) -> None:
        self.mongo.close()
        self.sqs.stop()
        self.mongod.stop()
        self._watchdog.close()
        for data in self.directory.glob("*/data"):  # gigabytes; the logs stay
            shutil.rmtree(data)

    def __enter__(self) -> Ground:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def wait_until(holds: Any, what: str, seconds: float = 120, look_seconds: float = 0.02) -> None:
    """Return once `holds()` is true.

    Raises:
        TimeoutError: it never was.
    """
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(look_seconds)
