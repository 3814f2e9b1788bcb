"""GET /api/exports/{report}.{format}: reports as files, streamed while they are read from the database."""

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from django.db import connection
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.exceptions import Throttled
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exports.concurrency_limit import ServerBusy
from exports.reports import execution, format_registry, openapi, report_query
from exports.reports.definitions import REPORTS, Report
from exports.reports.format_registry import Format
from exports.reports.report_query import ReportQuery
from exports.reports.run_recorder import RunRecorder
from monitoring import clock
from shipments.auth.subjects import Forbidden, Subject

_View = TypeVar("_View", bound=Callable[..., Any])
_GZIP: Final = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)


class IgnoreClientContentNegotiation(BaseContentNegotiation):
    """The path names the format; `Accept` is ignored. Problems are JSON."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """Return the first parser: the requests have no body."""
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """Return the first renderer; it renders problems only."""
        return renderers[0], renderers[0].media_type


class ExportView(APIView):
    """One report in any format."""

    http_method_names = ["get", "options"]  # HEAD would read every row for nothing
    content_negotiation_class = IgnoreClientContentNegotiation
    rate_policies = ("export",)
    report: Report

    def get(self, request: Request, extension: str) -> HttpResponseBase:
        """Stream the report; `X-Freight-Rows` is the number of its rows."""
        return _stream_response(request, self.report, _get_format_or_404(extension))

    def handle_exception(self, exc: Exception) -> Response:
        """Record a refused export (403, 429), then handle the exception as usual."""
        subject = self.request.auth
        if isinstance(exc, Forbidden | Throttled | ServerBusy) and isinstance(subject, Subject):
            raw_values = {name[:64]: str(text)[:200] for name, text in self.request.GET.items()}
            recorder = RunRecorder(
                by=subject, report=self.report.name, format=self.kwargs["extension"][:8], filters=raw_values
            )
            recorder.record_refusal(str(exc))
        return super().handle_exception(exc)


def report_views() -> dict[str, type[ExportView]]:
    """Return one documented view class per report, by its name."""
    return {name: openapi.document_view(report, _view_for(report)) for name, report in REPORTS.items()}


def legacy_view() -> type[ExportView]:
    """Return the view at the path of the shipments report in the system before this one."""
    return openapi.document_legacy_view(REPORTS["shipments"], _view_for(REPORTS["shipments"]))


def _view_for(report: Report) -> type[ExportView]:
    return type(f"{report.name.title()}ExportView", (ExportView,), {"report": report})


def _get_format_or_404(extension: str) -> Format:
    file_format = format_registry.get(extension)
    if file_format is None:
        raise Http404
    return file_format


def _stream_response(request: Request, report: Report, file_format: Format) -> HttpResponseBase:
    subject = cast("Subject", request.auth)  # ensured by IsMember
    report.require(subject)
    query = report_query.parse(report, subject, request.GET)
    execution.check_format(query, file_format)
    gzip = file_format.compressible and _GZIP.search(request.headers.get("Accept-Encoding", "")) is not None
    recorder = RunRecorder(by=subject, report=report.name, format=file_format.name, filters=query.raw_values)
    if file_format.render_file is not None:
        return _file_response(query, file_format, recorder)
    stream = execution.start_stream(query, file_format, recorder, gzip=gzip)
    if not connection.in_atomic_block:
        connection.close()  # the request lasts until its body is sent
    response = StreamingHttpResponse(stream.chunks(), content_type=file_format.content_type)
    for name, value in _response_headers(report, file_format, recorder.rows).items():
        response[name] = value
    if gzip:
        response["Content-Encoding"] = "gzip"
    return response


def _file_response(query: ReportQuery, file_format: Format, recorder: RunRecorder) -> HttpResponseBase:
    """Return a file that is complete before the response starts, so that a failure is a problem response."""
    content = b""
    outcome = "failed"
    try:
        content = file_format.render_file(query, recorder) if file_format.render_file else b""
        outcome = "done"
    finally:
        if recorder.started:
            recorder.finish(outcome, sent=len(content))
    headers = _response_headers(query.report, file_format, recorder.rows)
    return HttpResponse(content, content_type=file_format.content_type, headers=headers)


def _response_headers(report: Report, file_format: Format, count: int) -> dict[str, str]:
    filename = f"{report.name}-{clock.now():%Y%m%d-%H%M%S}.{file_format.name}"
    return {
        "Content-Disposition": f'attachment; filename="{filename}"',
        "X-Freight-Rows": str(count),
        "Cache-Control": "no-store",
        "Vary": "Accept-Encoding",
        "X-Accel-Buffering": "no",
    }
