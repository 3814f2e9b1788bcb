"""The trace of a request: the caller's where its header is valid, else a new one."""

import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from django.http import HttpResponse
from django.test import RequestFactory

from monitoring.middleware import RequestContextMiddleware
from monitoring.tracing import trace_context

ROOT = Path(__file__).resolve().parents[3]
EXPORTER_MODULES = {
    "monitoring.tracing.opentelemetry_recorder",
    "opentelemetry.exporter",
    "opentelemetry.sdk.trace",
}
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("given", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),
    ],
)
def test_a_traceparent_is_read(given: str, sampled: bool) -> None:
    assert trace_context.parse_traceparent(given) == trace_context.TraceContext(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "given",
    [
        "", "rubbish", f"00-{TRACE}-{SPAN}", f"00-{TRACE}-{SPAN}-1", f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01", f"00-{TRACE.upper()}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE[1:]}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01\n",
        f"cc-{TRACE}-{SPAN}-01-{'x' * 300}",
    ],
)  # fmt: skip
def test_a_malformed_traceparent_is_ignored(given: str) -> None:
    assert trace_context.parse_traceparent(given) is None


@pytest.mark.parametrize("state", ["a=1,b=2", "x" * 513, "a=\x00"])
def test_a_valid_tracestate_is_kept(state: str) -> None:
    trace = trace_context.parse_traceparent(f"00-{TRACE}-{SPAN}-01", state)

    assert trace is not None
    assert trace.tracestate == (state if state == "a=1,b=2" else "")


def test_a_valid_header_continues_the_trace_and_an_invalid_one_starts_another() -> None:
    with trace_context.server_span("x", f"00-{TRACE}-{SPAN}-01") as continued:
        pass
    with trace_context.server_span("x", f"00-{TRACE}-{SPAN}-0g") as own:
        pass

    assert (continued.trace_id, continued.sampled) == (TRACE, True)
    assert continued.span_id != SPAN
    assert trace_context.parse_traceparent(own.traceparent) == own
    assert own.trace_id != TRACE


def test_the_log_context_of_a_request_has_its_trace_id() -> None:
    request = RequestFactory().get("/", headers={"traceparent": f"00-{TRACE}-{SPAN}-01", "x-request-id": "r-1"})
    bound: list[dict[str, object]] = []

    def view(_: object) -> HttpResponse:
        bound.append(structlog.contextvars.get_contextvars())
        return HttpResponse()

    RequestContextMiddleware(view)(request)

    assert bound == [{"request_id": "r-1", "trace_id": TRACE}]


def test_without_a_collector_no_exporter_is_imported_and_no_header_is_sent() -> None:
    code = (
        "import sys, django; django.setup()\n"
        "import freight.asgi\n"
        "from monitoring import runtime\n"
        "from monitoring.tracing import trace_context\n"
        "runtime.start_reporting('api')\n"
        f"with trace_context.server_span('x', '00-{TRACE}-{SPAN}-01'), trace_context.child_span('y'):\n"
        "    assert trace_context.outgoing_traceparent() is None\n"
        # The client of Redis loads OpenTelemetry's metrics where they are installed.
        f"assert not {EXPORTER_MODULES} & set(sys.modules)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
