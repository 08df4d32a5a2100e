"""Each request is a span of the trace that its `traceparent` names, or of a new one; jobs submitted by it belong to it."""

from __future__ import annotations

from contextlib import ExitStack

from flask import Flask, g, request

from jobs.tracing import readable, span
from monitoring.tracing import start_tracing

UNTRACED = ("metrics.show", "health.alive", "health.ready")
"""Asked every few seconds, by machines."""


def trace_requests(app: Flask) -> None:
    """Trace every request of `app`, if traces are recorded; else hand on what came."""
    start_tracing("web")
    app.before_request(_begin)
    app.teardown_request(_end)


def _begin() -> None:
    if request.endpoint in UNTRACED:
        return
    place = request.url_rule.rule if request.url_rule else "unknown"
    g.span = ExitStack()
    g.span.enter_context(span(f"{request.method} {place}", "server", readable(request.headers.get("traceparent"))))


def _end(error: BaseException | None) -> None:
    if "span" in g:
        g.pop("span").close()
