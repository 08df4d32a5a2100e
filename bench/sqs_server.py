"""MiniStack's SQS, run in an environment of its own: requests are counted by queue and action, long polls look every 5 ms.

python sqs_server.py PORT        GET /bench/counts answers {"queue": {"action": n}}
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections import Counter, defaultdict
from typing import Any
from urllib.parse import parse_qs

LOOK_SECONDS = 0.005
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
