"""SQS and S3 on the laptop: moto's server as a process of its own.

Its queues and buckets live in that process's memory and are gone when it stops. gunicorn serves it, not moto's own command,
because that one closes the connection after each answer; one process, because the memory is one; many threads, because each
long poll holds one.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from devstack.server import Server
from devstack.watchdog import Watchdog

THREADS = 64
START_SECONDS = 60
LOOK_SECONDS = 0.1
"""How often a long poll looks whether a message of a FIFO queue has come, or its group is free."""
REGION = "us-east-1"
KEY = "laptop"
"""The server takes any key; this one says whose it is."""


def application() -> object:
    """The WSGI application, loaded by gunicorn in the server's process."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    _let_long_polls_see_groups_get_free()
    return DomainDispatcherApplication(create_backend_app)


def _let_long_polls_see_groups_get_free() -> None:
    """Of a FIFO queue, moto asks which groups are busy when a long poll begins, and never again until it ends."""
    from moto.sqs.models import SQSBackend

    receive_once = SQSBackend.receive_message

    def receive_message(self: Any, queue_name: str, count: int, wait_seconds_timeout: int, *rest: Any, **named: Any) -> Any:
        if not queue_name.endswith(".fifo"):
            return receive_once(self, queue_name, count, wait_seconds_timeout, *rest, **named)
        until = monotonic() + wait_seconds_timeout
        while not (found := receive_once(self, queue_name, count, 0, *rest, **named)) and monotonic() < until:
            sleep(LOOK_SECONDS)
        return found

    SQSBackend.receive_message = receive_message


class SqsServer(Server):
    """A running SQS (and S3). `endpoint` is its address, for `AWS_ENDPOINT_URL`."""

    def __init__(self, log: Path, watchdog: Watchdog, application: str) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
            self.endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
            options = (
                f"--workers 1 --worker-class gthread --threads {THREADS} --keep-alive 75 --timeout 120 --graceful-timeout 1"
            )
            words = [sys.executable, "-m", "gunicorn", *options.split(), "--no-control-socket", "--log-level", "warning"]
            words += ["--bind", f"fd://{listener.fileno()}", application]
            super().__init__("SQS", watchdog.command(words, "store"), log, pass_fds=(listener.fileno(),))


def start(directory: Path, watchdog: Watchdog, application: str = "devstack.sqs_server:application()") -> SqsServer:
    """Start SQS and S3 on a free port of the loopback address; they answer on return. `application` is what gunicorn loads.

    Raises:
        StackError: it can't start; the message says why.
    """
    server = SqsServer(directory / "sqs.log", watchdog, application)
    try:
        # The socket listens already, so this waits until the server takes its first connection, or the socket is closed.
        with urlopen(f"{server.endpoint}/moto-api/data.json", timeout=START_SECONDS):
            return server
    except (URLError, OSError):
        server.stop()
        raise server.fault() from None
    except BaseException:
        server.stop()
        raise


def environment(endpoint: str) -> dict[str, str]:
    """AWS's own variables for a client of the server at `endpoint`."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": KEY,
    }
