"""An OpenTelemetry collector: it receives OTLP over HTTP at a port, and keeps the spans."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class OtlpCollector:
    """The collector, for the length of a `with` block."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.services: set[str] = set()
        self._may_answer = threading.Event()
        self._may_answer.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector._may_answer.wait(60)
                sent = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/traces":
                    collector.record(sent)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def hold_answers(self) -> None:
        """Leave every request without a response until `release_answers`."""
        self._may_answer.clear()

    def release_answers(self) -> None:
        """Respond again."""
        self._may_answer.set()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def record(self, sent: bytes) -> None:
        request = ExportTraceServiceRequest()
        request.ParseFromString(sent)
        for resource in request.resource_spans:
            attributes = _values(resource.resource.attributes)
            self.services.add(attributes["service.name"])
            for scope in resource.scope_spans:
                self.spans += [
                    {
                        "name": span.name,
                        "trace": span.trace_id.hex(),
                        "id": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "process": attributes["service.instance.id"].rpartition("/")[2],
                        "seconds": (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                        **_values(span.attributes),
                    }
                    for span in scope.spans
                ]

    def spans_of(self, trace: str, name: str) -> list[dict[str, Any]]:
        """Return the spans of a trace that have a name."""
        return [span for span in list(self.spans) if span["trace"] == trace and span["name"] == name]


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
