"""The web process, by gunicorn as the Procfile has it, against bare pymongo and boto3 on kept-alive connections."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

import boto3
from botocore.config import Config

from bench.asked import Asked
from bench.ground import Ground, wait_until
from bench.processes import Running
from bench.table import Row, at_least, at_most, of_rounds
from devstack.server import free_port
from settings import CHECKOUT

ORDER: dict[str, Any] = {"type": "articles", "payload": {"topic": "Growing tomatoes", "wordCount": 400}}
POSTS = 200
BATCH = 1_000
BATCHES = 45
CONNECTIONS = 32
LOAD_SECONDS = 5.0
FEW, MANY, USER_JOBS = 1_000, 1_000_000, 100
PAGES = 300


class Web:
    """A running web process."""

    def __init__(self, port: int) -> None:
        self.port = port

    def connection(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, connection: HTTPConnection, method: str, path: str, body: Any = None) -> Any:
        """The answer, parsed; the connection stays open.

        Raises:
            RuntimeError: the answer is no success.
        """
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {said[:500]!r}")
        return json.loads(said)


@contextmanager
def web(ground: Ground, **variables: str) -> Iterator[Web]:
    """A web process, warm."""
    from queues.provision import apply

    apply()
    port = free_port()
    gunicorn = str(Path(sys.executable).with_name("gunicorn"))
    words = [gunicorn, "--config", "deploy/gunicorn.conf.py", "web:create_app()"]
    environment = ground.environment | {"PORT": str(port), "PYTHONPATH": str(CHECKOUT)} | variables
    with Running(ground.listed(words), ground.log("web"), CHECKOUT, environment):
        made = Web(port)

        def answers() -> bool:
            try:
                made.ask(made.connection(), "GET", "/healthz")
            except OSError:
                return False
            return True

        wait_until(answers, "the web process", 60)
        yield made


class Floor:
    """The least that submitting can be: one insert and one send."""

    def __init__(self, ground: Ground) -> None:
        from jobs.submit import Order
        from queues.wire import attributes

        self._order = Order(kind="articles", payload=dict(ORDER["payload"]), user_id="local")
        self._attributes = attributes("articles", "normal")
        self._jobs = ground.database["floor"]
        self._url = ground.make_queue("floor")
        self._sqs: Any = boto3.client("sqs", config=Config(max_pool_connections=CONNECTIONS + 2, tcp_keepalive=True))

    def _document(self) -> dict[str, Any]:
        return self._order.document() | {"_id": secrets.token_hex(16), "created_at": None, "expires_at": None, "history": []}

    def one(self) -> None:
        document = self._document()
        self._jobs.insert_one(document)
        body = json.dumps({"jobId": document["_id"]})
        self._sqs.send_message(QueueUrl=self._url, MessageBody=body, MessageAttributes=self._attributes)

    def many(self, count: int) -> None:
        documents = [self._document() for _ in range(count)]
        self._jobs.insert_many(documents, ordered=False)
        for place in range(0, count, 10):
            entries = [
                {"Id": str(n), "MessageBody": json.dumps({"jobId": each["_id"]}), "MessageAttributes": self._attributes}
                for n, each in enumerate(documents[place : place + 10])
            ]
            self._sqs.send_message_batch(QueueUrl=self._url, Entries=entries)


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure_post(ground: Ground, asked: Asked) -> Iterator[Row | str]:
    """A request, then its floor, and again."""
    with web(ground) as server:
        floor, connection = Floor(ground), server.connection()
        post = partial(server.ask, connection, "POST", "/api/jobs", ORDER)
        both: list[Callable[[], object]] = [post, floor.one]
        for call in both * 20:
            call()
        took = [(timed(post), timed(floor.one)) for _ in range(POSTS)]
    ours, least = median(each[0] for each in took) * 1000, median(each[1] for each in took) * 1000
    yield at_most(
        "POST /api/jobs, one connection, p50",
        ours / least,
        1.5,
        unit="× the floor",
        measured=f"{ours:.1f} ms = {ours / least:.2f} ×",
        beside=f"{least:.1f} ms",
    )
    ground.database["jobs"].delete_many({})


def measure_batch(ground: Ground, asked: Asked) -> Iterator[Row | str]:
    with web(ground) as server:
        floor, connection = Floor(ground), server.connection()
        post = partial(server.ask, connection, "POST", "/api/jobs/batch", {"jobs": [ORDER] * BATCH})
        for call in (post, partial(floor.many, BATCH)):
            call()
        took = [(timed(post), timed(partial(floor.many, BATCH))) for _ in range(BATCHES)]
    ratios = [ours / least for ours, least in took]
    yield at_most(
        f"POST /api/jobs/batch of {BATCH:,}",
        median(ratios),
        1.3,
        unit="× the floor",
        measured=f"{median(ours for ours, _ in took):.2f} s = {of_rounds(ratios)} ×",
        beside=f"{median(least for _, least in took):.2f} s",
    )
    ground.database["jobs"].delete_many({})


def measure_web(ground: Ground, asked: Asked) -> Iterator[Row | str]:
    """Requests a second of one web process from 32 connections, against the floor from 32 threads of this process."""
    with web(ground) as server:
        floor = Floor(ground)
        ratios, ours, least = [], [], []
        for _ in range(asked.rounds):
            ours.append(_load(lambda: partial(server.ask, server.connection(), "POST", "/api/jobs", ORDER)))
            least.append(_load(lambda: floor.one))
            ratios.append(ours[-1] / least[-1])
    yield at_least(
        "requests/s of one web process, 32 connections",
        median(ratios),
        0.6,
        unit="× the floor",
        measured=f"{median(ours):.0f}/s = {of_rounds(ratios)} ×",
        beside=f"{median(least):.0f}/s",
    )
    ground.database["jobs"].delete_many({})


def _load(make: Callable[[], Callable[[], object]]) -> float:
    """How many calls a second 32 threads get done, each with a call of its own making."""
    until = time.monotonic() + LOAD_SECONDS

    def go(call: Callable[[], object]) -> int:
        done = 0
        while time.monotonic() < until:
            call()
            done += 1
        return done

    calls = [make() for _ in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        return sum(threads.map(go, calls)) / LOAD_SECONDS


def measure_pages(ground: Ground, asked: Asked) -> Iterator[Row | str]:
    """The first page of a user with 100 jobs, asked of two web processes whose databases differ in everybody else's jobs."""
    databases = {count: f"{ground.environment['MONGODB_DATABASE']}_{count}" for count in (FEW, MANY)}
    for count, name in databases.items():
        fill(ground, name, count)
    with (
        web(ground, MONGODB_DATABASE=databases[FEW]) as small,
        web(ground, MONGODB_DATABASE=databases[MANY]) as large,
    ):
        ask_small = partial(small.ask, small.connection(), "GET", "/api/jobs?limit=100")
        ask_large = partial(large.ask, large.connection(), "GET", "/api/jobs?limit=100")
        for call in [ask_small, ask_large] * 20:
            assert len(call()["jobs"]) == USER_JOBS
        took = [(timed(ask_small), timed(ask_large)) for _ in range(PAGES)]
    few, many = median(each[0] for each in took) * 1000, median(each[1] for each in took) * 1000
    yield at_most(
        f"page of a user with {USER_JOBS} jobs among {MANY:,}, against {FEW:,}",
        many / few,
        1.3,
        unit="×",
        measured=f"{many:.1f} ms = {many / few:.2f} ×",
        beside=f"{few:.1f} ms",
    )
    for name in databases.values():
        ground.mongo.drop_database(name)


def fill(ground: Ground, database: str, count: int) -> None:
    """Make so many finished jobs, a hundred of them the user's, in the server."""
    from jobs.database import INDEXES
    from jobs.submit import Order

    document = Order(kind="articles", payload=dict(ORDER["payload"]), user_id="").document()
    document |= {"status": "completed", "attempts": 1, "dispatch": {"n": 1, "by": "", "until": None, "at": None}, "history": []}
    at = {"$dateSubtract": {"startDate": "$$NOW", "unit": "second", "amount": "$n"}}
    every = count // USER_JOBS
    ground.mongo[database].command(
        "aggregate",
        1,
        pipeline=[
            {"$documents": [{"high": place} for place in range(max(count // 1_000, 1))]},
            {"$set": {"low": {"$range": [0, 1_000]}}},
            {"$unwind": "$low"},
            {"$set": {"n": {"$add": [{"$multiply": ["$high", 1_000]}, "$low"]}}},
            {
                "$replaceWith": {
                    "$mergeObjects": [
                        {"$literal": document},
                        {
                            "_id": {"$toString": {"$add": ["$n", 10_000_000]}},
                            "user_id": {
                                "$cond": [
                                    {"$eq": [{"$mod": ["$n", every]}, 0]},
                                    "local",
                                    {"$concat": ["user-", {"$toString": {"$mod": ["$n", 10_007]}}]},
                                ]
                            },
                            **dict.fromkeys(("created_at", "started_at", "finished_at"), at),
                        },
                    ]
                }
            },
            {"$out": "jobs"},
        ],
        cursor={},
    )
    ground.mongo[database]["jobs"].create_indexes(INDEXES["jobs"])  # which takes longer than a process waits for MongoDB
