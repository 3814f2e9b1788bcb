"""Imports of shipments: try a file, send it, see what becomes of it, stop it."""

import uuid
from collections.abc import Mapping
from typing import Any, Final, cast

from django.db import connection
from django.http import Http404
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exports import slots
from exports.imports import applying, columns, documentation, orders, table
from exports.imports.applying import DRY_CHUNK, OUTCOMES, Wishes
from exports.imports.documentation import problems
from exports.imports.parsers import CSVParser, FormParser, Sent, XLSXParser, of_form
from exports.imports.table import Table
from exports.models import Import
from shipments import texts
from shipments.access import Subject
from shipments.selectors import parameters
from shipments.selectors.parameters import Invalid, Parameter, field_error

_LIMIT: Final = 200
_PAGE: Final[Mapping[str, Parameter]] = {
    "after": Parameter(
        texts.whole(0, 10**9), "Entries of rows behind this one.", {"type": "integer", "minimum": 0}
    ),
    "limit": Parameter(
        texts.whole(0, orders.MOST_ROWS),
        f"At most so many entries, {_LIMIT} when left out.",
        {"type": "integer", "minimum": 0, "maximum": orders.MOST_ROWS},
    ),
    "outcome": Parameter(texts.one_of(OUTCOMES), "Only entries of rows that ended so.", parameters.words(OUTCOMES)),
}
_DRY: Final = Parameter(
    lambda text: texts.one_of(("true", "false", "1", "0"))(text) in {"true", "1"},
    "`true`: say of each row what would become of it, and change nothing.",
    {"type": "boolean"},
)
_ASKED: Final = {"dryRun": _DRY, **_PAGE}
_trials: Final = slots.Slots(2, waiting=4, seconds=slots.WAIT_SECONDS)


class ShipmentsView(APIView):
    """Where files of shipments come in."""

    parser_classes = [FormParser, CSVParser, XLSXParser]
    rate_policies = ("export",)

    @extend_schema(
        operation_id="importShipments",
        tags=["imports"],
        request=documentation.FILES,
        parameters=[
            OpenApiParameter(
                "Location",
                str,
                OpenApiParameter.HEADER,
                response=[202],
                description="Where the import is looked at.",
            ),
            *documentation.parameters(_ASKED),
        ],
        responses={
            200: OpenApiResponse(documentation.TRIAL, description="What would become of each row."),
            202: OpenApiResponse(documentation.IMPORT, description="It is queued."),
            **problems(400, 401, 403, 413, 415, 429, 503),
        },
    )
    def post(self, request: Request) -> Response:
        """Book and amend shipments out of a CSV or XLSX, idempotent by reference; at most two imports at a time.

        The columns are those of the export, by label or field name in any case; what a cell leaves empty stays.
        Each row is judged for itself. `after`, `limit` and `outcome` choose the entries of a dry run.
        """
        subject = _importer(request)
        asked = parameters.read(request.GET, _ASKED)
        sent = _sent(request)
        if not connection.in_atomic_block:
            connection.close()  # reading takes a while
        read = table.read(sent.raw)
        if asked.pop("dryRun", False):
            return Response(_tried(read, subject, asked) | {"filename": sent.filename[:120], "size": len(sent.raw)})
        made = orders.order(by=subject, now=timezone.now(), table=read, filename=sent.filename, size=len(sent.raw))
        location = reverse("import", kwargs={"import_id": made.pk})
        return Response(_shown(made, []), status=status.HTTP_202_ACCEPTED, headers={"Location": location})


class ImportsView(APIView):
    """The caller's imports."""

    @extend_schema(
        operation_id="listImports",
        tags=["imports"],
        responses={200: OpenApiResponse(documentation.IMPORTS), **problems(401, 403, 429, 503)},
    )
    def get(self, request: Request) -> Response:
        """List the caller's own imports, newest first, at most 50; without their rows."""
        return Response({"results": [orders.shown(each) for each in orders.of(_importer(request))]})


class ImportView(APIView):
    """One import."""

    @extend_schema(
        operation_id="getImport",
        tags=["imports"],
        parameters=documentation.parameters(_PAGE),
        responses={200: OpenApiResponse(documentation.IMPORT), **problems(400, 401, 403, 404, 429, 503)},
    )
    def get(self, request: Request, import_id: uuid.UUID) -> Response:
        """Show how far the import is and what became of its rows, a page of them; `next` is the next `after`."""
        subject = _importer(request)
        asked = parameters.read(request.GET, _PAGE)
        found = orders.find(subject, import_id)
        if found is None:
            raise Http404
        limit = asked.get("limit", _LIMIT)
        rows = orders.rows(found, after=asked.get("after", 0), limit=limit, outcome=asked.get("outcome"))
        return Response(_shown(found, rows, full=len(rows) == limit))

    @extend_schema(
        operation_id="cancelImport",
        tags=["imports"],
        responses={204: OpenApiResponse(description="It is ended."), **problems(401, 403, 404, 429, 503)},
    )
    def delete(self, request: Request, import_id: uuid.UUID) -> Response:
        """Cancel the import; what it has applied stays. Again, or after its end, is no error."""
        if not orders.cancel(by=_importer(request), now=timezone.now(), import_id=import_id):
            raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)


def _importer(request: Request) -> Subject:
    subject = cast("Subject", request.auth)  # IsMember has seen to it
    subject.require("shipments:write")
    return subject


def _sent(request: Request) -> Sent:
    """This will return the file of a request; raises Invalid, TooLarge."""
    data = request.data
    if isinstance(data, Sent):
        return data
    if request.content_type.startswith("multipart/"):
        # A page's form was taken apart when its CSRF token was looked for.
        return of_form(request._request.POST, request._request.FILES)  # noqa: SLF001  Django's own, before DRF
    raise Invalid(
        [field_error("file", "required", "Send a CSV or XLSX.")]
    )  # without a body there is no type either


def _shown(order: Import, rows: list[dict[str, Any]], *, full: bool = False) -> dict[str, Any]:
    return orders.shown(order) | {"rows": rows, "next": rows[-1]["row"] if full and rows else None}


def _tried(read: Table, subject: Subject, asked: Mapping[str, Any]) -> dict[str, Any]:
    """This will judge every row, and return the counts and a page of what would become of them."""
    found = columns.find(read.header)
    wishes = Wishes(found, decimal_comma=read.decimal_comma)
    counts = dict.fromkeys(OUTCOMES, 0)
    rows: list[dict[str, Any]] = []
    after, limit, outcome = asked.get("after", 0), asked.get("limit", _LIMIT), asked.get("outcome")
    release = _trials.take()
    try:
        for chunk in wishes.chunks(read.rows(), DRY_CHUNK):
            for each in applying.judge(by=subject, now=timezone.now(), chunk=chunk):
                counts[each.outcome] += 1
                if each.row > after and len(rows) < limit and outcome in {None, each.outcome}:
                    rows.append(applying.shown(each, found))
    finally:
        release()
    return {
        "dryRun": True,
        "counts": counts,
        "total": read.count,
        "format": read.kind,
        "sha256": read.sha256,
        "columns": read.header,
        "rows": rows,
        "next": rows[-1]["row"] if rows and len(rows) == limit else None,
    }
