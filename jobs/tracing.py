"""One trace from the request to the result: the W3C trace context (`traceparent`) goes with the job.

Here is what every layer may do: open a span, and learn what to hand on. Whether spans are recorded is `monitoring.tracing`'s
affair; without it the context that came with a request is handed on as it came, through the job to the AI provider.
https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol

SpanKind = Literal["server", "client", "producer", "consumer", "internal"]
Attributes = Mapping[str, str | int]

TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Recorder(Protocol):
    """Records spans."""

    def span(self, name: str, kind: SpanKind, parent: str | None, attributes: Attributes) -> AbstractContextManager[str | None]:
        """A span while the block runs. It answers the span's own traceparent; None where this trace is not recorded."""


_recorders: list[Recorder] = []
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def record_by(recorder: Recorder) -> None:
    """Have this process's spans recorded."""
    _recorders[:] = [recorder]


def current() -> str | None:
    """The traceparent to hand on from here, if there is a trace."""
    return _current.get()


def readable(traceparent: str | None) -> str | None:
    """A traceparent as it came, if it is one."""
    return traceparent if traceparent is not None and TRACEPARENT.fullmatch(traceparent) else None


@contextmanager
def span(name: str, kind: SpanKind, parent: str | None = None, **attributes: str | int) -> Iterator[str | None]:
    """The block is a span under `parent`, or under the one around it. It answers what the block hands on."""
    above = parent or current()
    if not _recorders:
        with _handing_on(above):
            yield above
        return
    with _recorders[0].span(name, kind, above, attributes) as own, _handing_on(own or above):
        yield own or above


@contextmanager
def _handing_on(traceparent: str | None) -> Iterator[None]:
    token = _current.set(traceparent)
    try:
        yield
    finally:
        _current.reset(token)
