"""The tests' moto: the stack's, and one request more that makes all the queues of a test at once.

Made one after the other by SQS's own requests they would cost each test half a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from devstack import sqs_server

PATH = "/tests/queues"


def application() -> object:
    """The WSGI application, loaded by gunicorn in the server's process."""
    moto: Any = sqs_server.application()

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH:
            served: Iterable[bytes] = moto(environ, start_response)
            return served
        make(json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))))
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b"{}"]

    return answer


def make(queues: list[dict[str, Any]]) -> None:
    """Make queues, `{name, attributes, tags}` each, in their order."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.sqs.models import sqs_backends

    backend = sqs_backends[DEFAULT_ACCOUNT_ID][sqs_server.REGION]
    for queue in queues:
        backend.create_queue(queue["name"], queue["tags"], **queue["attributes"])
