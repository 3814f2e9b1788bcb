"""Spans for a collector, by OTLP over HTTP; needs the extra `tracing`, imported only where a collector is named.

Nothing here waits for the collector: spans go into a bounded queue, a thread carries them, and what does not fit or
cannot be delivered is dropped.
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

from monitoring import shared, slow, tracing
from monitoring.tracing import Trace

# How long a collector may take for a batch, and a process for its last one.
_EXPORT_SECONDS: Final = 2.0
_LAST_SECONDS: Final = 1.0
_LONGEST_SQL: Final = 500


def start(process: str) -> None:
    """This will record spans in this process from now on. Never before a fork: it starts a thread."""
    told: dict[str, str | int] = {
        "service.instance.id": f"{shared.host()}/{process}",
        "process.pid": os.getpid(),
    }
    if not os.environ.get("OTEL_SERVICE_NAME"):
        told["service.name"] = "freight"
    provider = TracerProvider(resource=Resource.create(told), shutdown_on_exit=False)
    processor = BatchSpanProcessor(OTLPSpanExporter(timeout=_EXPORT_SECONDS))
    provider.add_span_processor(processor)
    tracing.record_with(Spans(provider.get_tracer("freight")))
    atexit.register(_finish, processor)


def _finish(processor: BatchSpanProcessor) -> None:
    """This will send what is left; a collector that is gone keeps no process from ending."""
    tracing.record_with(None)
    processor._batch_processor.shutdown(timeout_millis=int(_LAST_SECONDS * 1000))  # noqa: SLF001  its own waits 30 s


class Spans:
    """`tracing.Recorder` by OpenTelemetry."""

    def __init__(self, tracer: otel.Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def serving(self, name: str, came: Trace | None) -> Iterator[Trace]:
        """This will record a request or a socket."""
        above = _context(came) if came else contexts.Context()
        with self._tracer.start_as_current_span(name, context=above, kind=SpanKind.SERVER) as span:
            made = span.get_span_context()
            state = came.state if came else ""
            yield Trace(f"{made.trace_id:032x}", f"{made.span_id:016x}", made.trace_flags.sampled, state)

    @contextmanager
    def part(self, name: str, attributes: Mapping[str, Any]) -> Iterator[None]:
        """This will record a part of it."""
        with self._tracer.start_as_current_span(name, attributes=attributes):
            yield

    def describe(self, name: str, attributes: Mapping[str, Any], *, failed: bool) -> None:
        """This will complete the present span."""
        span = otel.get_current_span()
        if span.is_recording():
            span.update_name(name)
            span.set_attributes({each: value for each, value in attributes.items() if value is not None})
            if failed:
                span.set_status(Status(StatusCode.ERROR))

    def query(self, sql: object, seconds: float) -> None:
        """This will record a query that has ended, without any value; one that nobody waits for is left out."""
        if otel.get_current_span().is_recording():
            ended = time.time_ns()
            text = slow.normalised(str(sql))[:_LONGEST_SQL]
            span = self._tracer.start_span(
                text.partition(" ")[0].upper() or "query",
                kind=SpanKind.CLIENT,
                attributes={"db.system.name": "postgresql", "db.query.text": text},
                start_time=ended - int(seconds * 1e9),
            )
            span.end(ended)

    def passed(self, name: str, came: Trace, since: float) -> None:
        """This will record the way of a message that has arrived."""
        span = self._tracer.start_span(
            name, context=_context(came), kind=SpanKind.CONSUMER, start_time=int(since * 1e9)
        )
        span.end()


def _context(came: Trace) -> contexts.Context:
    """This will return the context in which the caller's span is the parent."""
    parent = otel.SpanContext(
        int(came.trace_id, 16),
        int(came.span_id, 16),
        is_remote=True,
        trace_flags=otel.TraceFlags(int(came.sampled)),
        trace_state=otel.TraceState.from_header([came.state]),
    )
    return otel.set_span_in_context(otel.NonRecordingSpan(parent), contexts.Context())
