"""OpenTelemetry traces: request → plan → chunks → film, one trace a job. Off, and free, unless configured.

A job's row carries its W3C `traceparent`; whoever claims work of it continues that trace in its own process.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import structlog

from backend.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

SpanKind = Literal["server", "internal", "consumer"]
TRACEPARENT = "traceparent"

_provider: TracerProvider | None = None


def configure(settings: Settings, service: str) -> None:
    """Sends this process's spans where OTEL_TRACES_EXPORTER and OTEL_EXPORTER_OTLP_ENDPOINT say; else does nothing."""
    if settings.traces is None or _provider is not None:
        return
    start(_exporter(settings.traces), service)


def start(exporter: SpanExporter, service: str, *, at_once: bool = False) -> None:
    """Spans go to `exporter`, in batches from a thread, or each `at_once`."""
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

    global _provider  # one a process, as the exporter's thread is
    processor = SimpleSpanProcessor(exporter) if at_once else BatchSpanProcessor(exporter)
    resource = Resource.create()  # reads OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: f"framefleet-{service}"}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(processor)
    _provider = provider


def stop() -> None:
    """Sends what is left. Afterwards no span is made."""
    global _provider
    if _provider is not None:
        _provider.shutdown()
        _provider = None


def is_on() -> bool:
    return _provider is not None


@contextmanager
def span(
    name: str, parent: str | Mapping[str, str] | None, attributes: Mapping[str, Any], kind: SpanKind = "internal"
) -> Iterator[None]:
    """A span around the block, below `parent` (a traceparent, or a request's headers). Log lines within carry its ids.

    An exception that leaves the block is recorded and goes on.
    """
    if _provider is None:
        yield
        return
    from opentelemetry import trace

    headers = {TRACEPARENT: parent} if isinstance(parent, str) else parent or {}
    tracer = _provider.get_tracer("framefleet")
    with tracer.start_as_current_span(
        name,
        context=_context_of(headers),
        kind=trace.SpanKind[kind.upper()],
        attributes={f"framefleet.{key}": value for key, value in attributes.items() if value is not None},
    ) as current_span:
        trace_id = trace.format_trace_id(current_span.get_span_context().trace_id)
        with structlog.contextvars.bound_contextvars(trace_id=trace_id):
            yield


def note(**attributes: str) -> None:
    """Adds attributes to the span that we are in, if any."""
    if _provider is None:
        return
    from opentelemetry import trace

    trace.get_current_span().set_attributes({f"framefleet.{key}": value for key, value in attributes.items()})


def job_trace(job_id: str) -> str:
    """The traceparent of a job that was created outside of any trace: its spans still find together, by its id."""
    digits = UUID(job_id).hex
    return f"00-{digits}-{digits[16:]}-01"


def current() -> str | None:
    """The traceparent of the span we are in; None when there is none, or tracing is off."""
    if _provider is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(TRACEPARENT)


def _context_of(headers: Mapping[str, str]) -> Any:
    """None, which stands for the span that we are in, when the headers name no trace. Bad headers count as none."""
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {key.lower(): value for key, value in headers.items() if key.lower() == TRACEPARENT}
    context = TraceContextTextMapPropagator().extract(carrier, Context())
    return context if trace.get_current_span(context).get_span_context().is_valid else None


def _exporter(name: Literal["otlp", "console"]) -> SpanExporter:
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr)  # standard output is for results
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()  # reads OTEL_EXPORTER_OTLP_… itself: endpoint, headers, timeout, certificates
