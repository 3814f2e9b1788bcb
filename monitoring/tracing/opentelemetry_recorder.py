"""Exports spans by OTLP over HTTP; needs the extra `tracing` and is imported only where a collector is configured.

Nothing waits for the collector: a thread exports a bounded queue, and spans that do not fit or cannot be exported
are dropped.
"""

import atexit
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import context as contexts
from opentelemetry import trace as otel
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from monitoring.prometheus import multiprocess
from monitoring.sql_text import normalise_sql
from monitoring.tracing import trace_context
from monitoring.tracing.trace_context import TraceContext

# For one batch, and for the last batch of a process.
_EXPORT_TIMEOUT_SECONDS: Final = 2.0
_SHUTDOWN_TIMEOUT_SECONDS: Final = 1.0
_MAX_SQL_LENGTH: Final = 500


def start_exporting(process_name: str) -> None:
    """Record spans in this process from now on; call it after the last fork, as it starts a thread."""
    resource: dict[str, str | int] = {
        "service.instance.id": f"{multiprocess.host_name()}/{process_name}",
        "process.pid": os.getpid(),
    }
    if not os.environ.get("OTEL_SERVICE_NAME"):
        resource["service.name"] = "freight"
    provider = TracerProvider(resource=Resource.create(resource), shutdown_on_exit=False)
    processor = BatchSpanProcessor(OTLPSpanExporter(timeout=_EXPORT_TIMEOUT_SECONDS))
    provider.add_span_processor(processor)
    trace_context.set_recorder(OpenTelemetryRecorder(provider.get_tracer("freight")))
    atexit.register(_shut_down, processor)


def _shut_down(processor: BatchSpanProcessor) -> None:
    """Export the last spans within _SHUTDOWN_TIMEOUT_SECONDS, whether or not the collector answers."""
    trace_context.set_recorder(None)
    # The public method has no timeout.
    processor._batch_processor.shutdown(timeout_millis=int(_SHUTDOWN_TIMEOUT_SECONDS * 1000))  # noqa: SLF001  as above


class OpenTelemetryRecorder:
    """`trace_context.SpanRecorder` by OpenTelemetry."""

    def __init__(self, tracer: otel.Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def server_span(self, name: str, remote: TraceContext | None) -> Iterator[TraceContext]:
        """Record a request or a socket as a server span, a child of the caller's span where there is one."""
        parent_context = _remote_context(remote) if remote else contexts.Context()
        with self._tracer.start_as_current_span(name, context=parent_context, kind=SpanKind.SERVER) as span:
            span_context = span.get_span_context()
            state = remote.tracestate if remote else ""
            yield TraceContext(
                f"{span_context.trace_id:032x}",
                f"{span_context.span_id:016x}",
                span_context.trace_flags.sampled,
                state,
            )

    @contextmanager
    def child_span(self, name: str, attributes: Mapping[str, Any]) -> Iterator[None]:
        """Record the block as a child of the current span."""
        with self._tracer.start_as_current_span(name, attributes=attributes):
            yield

    def describe_span(self, name: str, attributes: Mapping[str, Any], *, failed: bool) -> None:
        """Set name, attributes and status of the current span."""
        span = otel.get_current_span()
        if span.is_recording():
            span.update_name(name)
            span.set_attributes({each: value for each, value in attributes.items() if value is not None})
            if failed:
                span.set_status(Status(StatusCode.ERROR))

    def record_query(self, sql: object, seconds: float) -> None:
        """Record a query that has ended, without its values; outside of a recorded span it is left out."""
        if otel.get_current_span().is_recording():
            ended = time.time_ns()
            text = normalise_sql(str(sql))[:_MAX_SQL_LENGTH]
            span = self._tracer.start_span(
                text.partition(" ")[0].upper() or "query",
                kind=SpanKind.CLIENT,
                attributes={"db.system.name": "postgresql", "db.query.text": text},
                start_time=ended - int(seconds * 1e9),
            )
            span.end(ended)

    def record_delivery(self, name: str, remote: TraceContext, since: float) -> None:
        """Record the delivery of a message as a consumer span from `since` (seconds since 1970) to now."""
        span = self._tracer.start_span(
            name, context=_remote_context(remote), kind=SpanKind.CONSUMER, start_time=int(since * 1e9)
        )
        span.end()


def _remote_context(remote: TraceContext) -> contexts.Context:
    """Return a context in which the caller's span is the current one."""
    parent = otel.SpanContext(
        int(remote.trace_id, 16),
        int(remote.span_id, 16),
        is_remote=True,
        trace_flags=otel.TraceFlags(int(remote.sampled)),
        trace_state=otel.TraceState.from_header([remote.tracestate]),
    )
    return otel.set_span_in_context(otel.NonRecordingSpan(parent), contexts.Context())
