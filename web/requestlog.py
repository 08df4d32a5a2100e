"""One line of log for each request, and an id by which its lines belong together."""

from __future__ import annotations

import re
from functools import partial
from time import monotonic
from urllib.parse import quote
from uuid import uuid4

import structlog
from flask import Flask, Response, g, request
from structlog.contextvars import bind_contextvars, clear_contextvars

MOST_ID_CHARACTERS = 64
USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = structlog.get_logger("web")


def register(app: Flask) -> None:
    """Log every request of `app`, and answer its id in `X-Request-Id`."""
    app.before_request(_begin)
    app.after_request(_end)


def about(job_id: str) -> None:
    """Name the job that the request at hand is about, in all its lines from here on."""
    bind_contextvars(job_id=quote(job_id[:MOST_ID_CHARACTERS]))  # as it was asked for, it may hold line ends


def _begin() -> None:
    clear_contextvars()
    sent = request.headers.get("X-Request-Id", "")
    g.request_id = sent if USABLE_ID.fullmatch(sent) else uuid4().hex
    g.began = monotonic()
    bind_contextvars(request_id=g.request_id)


def _end(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    said = {
        "method": request.method,
        "path": quote(request.path),  # it may hold line ends, and a line of log is one line
        "status": response.status_code,
        "ms": round((monotonic() - g.began) * 1000, 1),
    }
    if response.is_streamed:  # its end may be hours away
        log.info("request", **said)
    else:  # whoever asked need not wait for the line
        response.call_on_close(partial(log.info, "request", **said))
    return response
