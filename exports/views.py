"""Reports as files, streamed while they are read."""

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from django.db import connection
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.exceptions import Throttled
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exports import asking, documentation, formats, opening
from exports.asking import Asked
from exports.formats import Format
from exports.record import Record
from exports.slots import Busy
from exports.tables import REPORTS, Report
from shipments.access import Forbidden, Subject

_View = TypeVar("_View", bound=Callable[..., Any])
_GZIP: Final = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)


class PathDecides(BaseContentNegotiation):
    """The path names the format; Accept is not asked. Problems are JSON."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """This will take the first parser: nothing is posted."""
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """This will take the first renderer, which writes problems only."""
        return renderers[0], renderers[0].media_type


class ExportView(APIView):
    """One report in any format."""

    http_method_names = ["get", "options"]  # a HEAD would read every row for nothing
    content_negotiation_class = PathDecides
    rate_policies = ("export",)
    report: Report

    def get(self, request: Request, extension: str) -> HttpResponseBase:
        """Stream the report; the count of its rows stands in `X-Freight-Rows`."""
        return _streamed(request, self.report, _format(extension))

    def handle_exception(self, exc: Exception) -> Response:
        """This will write into the audit that an export was refused, then answer as ever."""
        subject = self.request.auth
        if isinstance(exc, Forbidden | Throttled | Busy) and isinstance(subject, Subject):
            asked = {name[:64]: str(text)[:200] for name, text in self.request.GET.items()}
            record = Record(by=subject, report=self.report.name, format=self.kwargs["extension"][:8], filters=asked)
            record.refuse(str(exc))
        return super().handle_exception(exc)


def views() -> dict[str, type[ExportView]]:
    """This will return one view a report, each with a description of its own."""
    return {name: documentation.described(report, _of(report)) for name, report in REPORTS.items()}


def older() -> type[ExportView]:
    """This will return the view at the path that the report had in the system before."""
    return documentation.described_older(REPORTS["shipments"], _of(REPORTS["shipments"]))


def _of(report: Report) -> type[ExportView]:
    return type(f"{report.name.title()}ExportView", (ExportView,), {"report": report})


def _format(extension: str) -> Format:
    found = formats.named(extension)
    if found is None:
        raise Http404
    return found


def _streamed(request: Request, report: Report, kind: Format) -> HttpResponseBase:
    subject = cast("Subject", request.auth)  # IsMember has seen to it
    report.require(subject)
    asked = asking.read(report, subject, request.GET)
    opening.check(asked, kind)
    gzip = kind.shrinks and _GZIP.search(request.headers.get("Accept-Encoding", "")) is not None
    record = Record(by=subject, report=report.name, format=kind.name, filters=asked.words)
    if kind.whole is not None:
        return _whole(asked, kind, record)
    stream = opening.stream(asked, kind, record, gzip=gzip)
    if not connection.in_atomic_block:
        connection.close()  # the request ends only when its body does
    response = StreamingHttpResponse(stream.taken(), content_type=kind.content_type)
    for name, value in _headers(report, kind, record.rows).items():
        response[name] = value
    if gzip:
        response["Content-Encoding"] = "gzip"
    return response


def _whole(asked: Asked, kind: Format, record: Record) -> HttpResponseBase:
    """This will answer with a file that was made before its answer begins: what cannot be made is a problem."""
    made = b""
    outcome = "failed"
    try:
        made = kind.whole(asked, record) if kind.whole else b""
        outcome = "done"
    finally:
        if record.started:
            record.end(outcome, sent=len(made))
    headers = _headers(asked.report, kind, record.rows)
    return HttpResponse(made, content_type=kind.content_type, headers=headers)


def _headers(report: Report, kind: Format, count: int) -> dict[str, str]:
    filename = f"{report.name}-{timezone.now():%Y%m%d-%H%M%S}.{kind.name}"
    return {
        "Content-Disposition": f'attachment; filename="{filename}"',
        "X-Freight-Rows": str(count),
        "Cache-Control": "no-store",
        "Vary": "Accept-Encoding",
        "X-Accel-Buffering": "no",
    }
