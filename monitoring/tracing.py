"""Spans for OpenTelemetry, where `OTEL_EXPORTER_OTLP_ENDPOINT` says who collects them and the extra `otel` is installed.

The SDK reads its other variables itself (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME` …). Spans are
sent by a thread of its own, in batches; a collector that is away costs them and nothing else.
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from jobs.errors import Cancelled, LeaseLost, NotNow
from jobs.tracing import Attributes, SpanKind, record_by
from settings import settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = structlog.get_logger()

PREFIX = "pressroom."
NO_FAULT = (NotNow, LeaseLost, Cancelled)
"""Ways in which a span ends that are no error."""
FLUSH_MILLISECONDS = 2_000

_providers: list[TracerProvider] = []


def start_tracing(process: str) -> None:
    """Record this process's spans from now on, if that is asked for. `process` is what it is: web, worker, relay."""
    if not settings().otel_exporter_otlp_endpoint or _providers:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("no traces: OTEL_EXPORTER_OTLP_ENDPOINT is set, but the extra is not installed: pip install '.[otel]'")
        return
    provider = TracerProvider(resource=Resource.create({"service.name": f"pressroom-{process}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _providers.append(provider)
    record_by(OpenTelemetry(provider))


def flush_spans() -> None:
    """Send what is recorded: this process is about to end without more ado."""
    for provider in _providers:
        provider.force_flush(FLUSH_MILLISECONDS)


class OpenTelemetry:
    """Records spans with OpenTelemetry's SDK."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = provider.get_tracer("pressroom")
        self._format = TraceContextTextMapPropagator()

    @contextmanager
    def span(self, name: str, kind: SpanKind, parent: str | None, attributes: Attributes) -> Iterator[str | None]:
        from opentelemetry.trace import SpanKind as Kind
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        above = self._format.extract({"traceparent": parent} if parent else {})
        opened = self._tracer.start_span(
            name,
            context=above,
            kind=Kind[kind.upper()],
            attributes={PREFIX + key: value for key, value in attributes.items()},
        )
        handed_on: dict[str, str] = {}
        self._format.inject(handed_on, set_span_in_context(opened, above))
        try:
            yield handed_on.get("traceparent")
        except NO_FAULT as error:
            opened.set_attribute(f"{PREFIX}ended_by", type(error).__name__)
            raise
        except BaseException as error:
            opened.record_exception(error)
            opened.set_status(Status(StatusCode.ERROR, str(error)))
            raise
        finally:
            opened.end()
