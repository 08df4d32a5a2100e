"""MiniStack's SQS, run in an environment of its own: requests are counted by queue and action, long polls look every 5 ms, and
what a request takes does not grow with what waits.

python sqs_server.py PORT        GET /bench/counts answers {"queue": {"action": n}}
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from urllib.parse import parse_qs

LOOK_SECONDS = 0.005
HEAD = 200
"""So many messages of a queue MiniStack looks through. It would look through all, several times for each request: with 10,000
waiting a receive and a delete of ten took 18 ms, where they take 3.5, in the one process that serves everybody."""
PORT = sys.argv[1]
os.environ |= {"GATEWAY_PORT": PORT, "MINISTACK_HOST": "127.0.0.1", "LOG_LEVEL": "ERROR", "PERSIST_STATE": "0"}

from hypercorn.asyncio import serve  # noqa: E402 - MiniStack reads its environment when it is loaded
from hypercorn.config import Config  # noqa: E402 - as above
from ministack.app import app  # noqa: E402 - as above
from ministack.services import sqs  # noqa: E402 - as above

counts: dict[str, Counter[str]] = defaultdict(Counter)


class Asyncio:
    """What MiniStack's SQS sees as `asyncio`: its long polls look oftener."""

    sleep = staticmethod(lambda seconds: asyncio.sleep(min(seconds, LOOK_SECONDS)))

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)


sqs.asyncio = Asyncio()


@contextmanager
def head_of(queue: dict[str, Any]) -> Iterator[None]:
    """Let MiniStack see the first messages of a queue only."""
    beyond = queue["messages"][HEAD:]
    del queue["messages"][HEAD:]
    try:
        yield
    finally:
        queue["messages"] += beyond


def looking_at_the_head(look: Callable[..., Any]) -> Callable[..., Any]:
    """Where nothing is found there, all is looked through."""

    def look_at_the_head(queue: dict[str, Any], *rest: Any) -> Any:
        with head_of(queue):
            found = look(queue, *rest)
        return found or look(queue, *rest)

    return look_at_the_head


def sweeping_the_head(sweep: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    def sweep_the_head(queue: dict[str, Any]) -> None:
        with head_of(queue):
            sweep(queue)

    return sweep_the_head


def deleting_at_the_head(delete: Callable[[dict[str, Any], str], Any]) -> Callable[[dict[str, Any], str], Any]:
    """Unless what is to be deleted is farther behind."""

    def delete_at_the_head(asked: dict[str, Any], path: str) -> Any:
        queue = sqs._get_q(asked.get("QueueUrl", path))
        handles = {entry.get("ReceiptHandle") for entry in asked.get("Entries", [asked])}
        is_there = handles <= {message["receipt_handle"] for message in queue["messages"][:HEAD]}
        with head_of(queue) if is_there else nullcontext():
            return delete(asked, path)

    return delete_at_the_head


sqs._collect_msgs = looking_at_the_head(sqs._collect_msgs)
sqs._expire_retained = sweeping_the_head(sqs._expire_retained)
sqs._dlq_sweep = sweeping_the_head(sqs._dlq_sweep)
for action in ("DeleteMessage", "DeleteMessageBatch"):
    sqs._HANDLERS[action] = deleting_at_the_head(sqs._HANDLERS[action])


async def counting(scope: Any, receive: Any, send: Any) -> None:
    """The application, its requests counted."""
    if scope["type"] != "http":
        await app(scope, receive, send)
        return
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    if scope["path"] == "/bench/counts":
        answer = json.dumps(counts).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(answer)).encode())]})
        await send({"type": "http.response.body", "body": answer})
        return
    count(dict(scope["headers"]), scope["path"], body)
    events = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Any:
        return events.pop() if events else await receive()

    await app(scope, replay, send)


def count(headers: dict[bytes, bytes], path: str, body: bytes) -> None:
    if target := headers.get(b"x-amz-target", b"").decode():
        action = target.partition(".")[2]
        url = json.loads(body or b"{}").get("QueueUrl", path)
    else:
        asked = parse_qs(body.decode(errors="replace"))
        action, url = asked.get("Action", ["?"])[0], asked.get("QueueUrl", [path])[0]
    counts[url.rpartition("/")[2]][action] += 1


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    config = Config()
    config.bind = [f"127.0.0.1:{PORT}"]
    config.keep_alive_timeout = 600
    config.loglevel = "ERROR"
    asyncio.run(serve(counting, config))
