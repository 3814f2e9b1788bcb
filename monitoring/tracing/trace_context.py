"""W3C Trace Context: taken from the caller, written into logs, passed on to other processes.

Ids are cheap and always there. Spans are recorded only where a collector is configured, by
`monitoring.tracing.opentelemetry_recorder`, which is not imported otherwise: see docs/decisions/0032.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Protocol

# https://www.w3.org/TR/trace-context/#traceparent-header: version 00 is exactly this long, a later one may be
# longer.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_MAX_TRACEPARENT_LENGTH: Final = 256
_MAX_TRACESTATE_LENGTH: Final = 512
_SAMPLED_FLAG: Final = 1
# The key of the ASGI scope with the TraceContext of a request whose span has begun before Django saw it.
SCOPE_KEY: Final = "freight.trace"


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A trace, and the span of it that is current."""

    trace_id: str
    span_id: str
    sampled: bool = False
    tracestate: str = ""

    @property
    def traceparent(self) -> str:
        """The `traceparent` header for a child of this span."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


class SpanRecorder(Protocol):
    """Records spans; the one implementation is OpenTelemetryRecorder."""

    def server_span(self, name: str, remote: TraceContext | None) -> AbstractContextManager[TraceContext]: ...
    def child_span(self, name: str, attributes: Mapping[str, Any]) -> AbstractContextManager[None]: ...
    def describe_span(self, name: str, attributes: Mapping[str, Any], *, failed: bool) -> None: ...
    def record_query(self, sql: object, seconds: float) -> None: ...
    def record_delivery(self, name: str, remote: TraceContext, since: float) -> None: ...


_current: Final[ContextVar[TraceContext | None]] = ContextVar("trace", default=None)
_recorder: SpanRecorder | None = None


def set_recorder(recorder: SpanRecorder | None) -> None:
    """Record spans by `recorder` from now on, with None no longer."""
    global _recorder
    _recorder = recorder


def parse_traceparent(traceparent: str, tracestate: str = "") -> TraceContext | None:
    """Return the context of a `traceparent` header, None where it is missing or malformed."""
    match = _TRACEPARENT.fullmatch(traceparent) if len(traceparent) <= _MAX_TRACEPARENT_LENGTH else None
    if match is None or (match[1] == "00" and match[5]):
        return None
    valid_tracestate = tracestate if len(tracestate) <= _MAX_TRACESTATE_LENGTH and tracestate.isprintable() else ""
    return TraceContext(match[2], match[3], bool(int(match[4], 16) & _SAMPLED_FLAG), valid_tracestate)


@contextmanager
def server_span(name: str, traceparent: str, tracestate: str = "") -> Iterator[TraceContext]:
    """Make the block a span of the caller's trace, or of a new one where `traceparent` names none."""
    remote = parse_traceparent(traceparent, tracestate) if traceparent else None
    span = nullcontext(_child_or_new_trace(remote)) if _recorder is None else _recorder.server_span(name, remote)
    with span as trace:
        token = _current.set(trace)
        try:
            yield trace
        finally:
            _current.reset(token)


def _child_or_new_trace(remote: TraceContext | None) -> TraceContext:
    random_hex = os.urandom(24).hex()
    if remote is None:
        return TraceContext(random_hex[:32], random_hex[32:])
    return TraceContext(remote.trace_id, random_hex[32:], remote.sampled, remote.tracestate)


def child_span(name: str, **attributes: Any) -> AbstractContextManager[None]:
    """Record the block as a child of the current span."""
    return _NO_SPAN if _recorder is None else _recorder.child_span(name, attributes)


def describe_span(name: str, attributes: Mapping[str, Any], *, failed: bool = False) -> None:
    """Set the name and attributes of the current span, which are known only at its end."""
    if _recorder is not None:
        _recorder.describe_span(name, attributes, failed=failed)


def record_query(sql: object, seconds: float) -> None:
    """Record a query that has just ended as a child of the current span."""
    if _recorder is not None:
        _recorder.record_query(sql, seconds)


def outgoing_traceparent() -> str | None:
    """Return the `traceparent` for a message to another process; None where its span would not be recorded."""
    trace = _current.get()
    return trace.traceparent if trace is not None and trace.sampled and _recorder is not None else None


def record_delivery(name: str, traceparent: str | None, *, sent_at: float) -> None:
    """Record the delivery of a message that was sent at `sent_at`, in seconds since 1970, and has just arrived."""
    if traceparent is not None and _recorder is not None and (remote := parse_traceparent(traceparent)) is not None:
        _recorder.record_delivery(name, remote, sent_at)


_NO_SPAN: Final = nullcontext()
