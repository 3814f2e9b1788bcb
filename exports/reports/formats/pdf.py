"""PDF: a printed report, drawn by the renderers and cached by the state of the organisation's log."""

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import orjson
from django.db import connection

from exports import concurrency_limit
from exports.pdf import cache, chart, rendering, report_layout
from exports.pdf.report_layout import PrintedColumn
from exports.reports import execution, report_query
from exports.reports.format_registry import Dataset, Format
from exports.reports.report_query import ReportQuery, parameter_label
from exports.reports.run_recorder import RunRecorder
from shipments.caching import versions
from shipments.caching.service import STAMP_BYTES
from shipments.selectors import documents
from shipments.selectors.reports.cells import Instant

# Columns that fit on a page.
MAX_FIELDS: Final = 12
_DEFAULT_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "shipments": ("reference", "origin", "destination", "status", "customer", "driverName", "createdAt", "eta"),
    "events": ("reference", "seq", "type", "status", "occurredAt", "recordedAt", "location", "actorRole", "note"),
    "deliveries": (
        "driverName", "reference", "customer", "origin", "destination", "plannedDeliveryAt", "deliveredAt",
        "minutesLate", "pieces",
    ),
    "audit": ("at", "actorName", "actorRole", "action", "entity", "entityId", "outcome", "address"),
}  # fmt: skip
_WIDTHS: Final[Mapping[str, float]] = {
    "id": 2.2, "driverId": 2.2, "customerId": 2.2, "actorId": 2.2, "requestId": 2.2, "reference": 1.25,
    "origin": 1.5, "destination": 1.5, "location": 1.5, "customer": 1.5, "driverName": 1.2, "note": 1.8,
    "notes": 2.2, "seq": 0.5, "pieces": 0.6, "weightKg": 0.75, "volumeM3": 0.75, "minutesLate": 0.85,
    "data": 3.0, "before": 3.0, "after": 3.0, "flags": 1.5, "entityId": 1.6, "actorName": 1.5,
}  # fmt: skip
_NUMBER_FIELDS: Final = frozenset({"seq", "pieces", "weightKg", "volumeM3", "minutesLate"})
# Reports whose every change is an event in the organisation's log, so that its version is a cache stamp. The audit
# is not: it also holds logins, for example.
_EVENT_SOURCED: Final = frozenset({"shipments", "events", "deliveries"})
_ROW_COUNT: Final = struct.Struct(">Q")


def fit_to_page(query: ReportQuery) -> ReportQuery:
    """Return the query with the default fields of a page where it names none; raises InvalidFields for too many."""
    if "fields" not in query.raw_values:
        return replace(query, fields=_DEFAULT_FIELDS.get(query.report.name, query.fields[:MAX_FIELDS]))
    if len(query.fields) > MAX_FIELDS:
        raise report_query.parameter_error("fields", "too_many", f"A PDF has room for {MAX_FIELDS} columns.")
    return query


def write(dataset: Dataset) -> Iterator[bytes]:
    """Yield the file; raises ServerBusy, PDFUnavailable."""
    rendering.require_libraries()
    yield rendering.render_report(_printed_report(dataset))


def render_file(query: ReportQuery, recorder: RunRecorder) -> bytes:
    """Return the file, from the cache where the same state was drawn before; starts the recorder.

    Raises ServerBusy, InvalidFields, OperationalError, PDFUnavailable.
    """
    rendering.require_libraries()
    query = fit_to_page(query)
    version = None
    if query.report.name in _EVENT_SOURCED and not connection.in_atomic_block:
        version = versions.current_version(query.by.organization_id)
    rendered = False

    def render() -> bytes:
        nonlocal rendered
        rendered = True
        return _read_and_render(query, recorder)

    if version is None:
        return render()[_ROW_COUNT.size :]
    stamp = _digest(version[:2], documents.organization_name(query.by.organization_id), cache.code_fingerprint())
    _release_connection()
    content = cache.pdf_cache.get_or_set_stamped(_cache_key(query), stamp, render)
    recorder.cached = not rendered
    if not rendered:
        recorder.rows = _ROW_COUNT.unpack_from(content)[0]
        recorder.start()
    return content[_ROW_COUNT.size :]


PDF: Final = Format(
    "pdf",
    "application/pdf",
    "json",
    write,
    max_rows=report_layout.MAX_ROWS,
    adapt_query=fit_to_page,
    render_file=render_file,
)


def _read_and_render(query: ReportQuery, recorder: RunRecorder) -> bytes:
    """Return the row count (8 bytes, big-endian) and the drawn file; starts the recorder."""
    release = concurrency_limit.report_reads.acquire(query.by.organization_id)
    try:
        dataset = execution.open_dataset(query, PDF)
        recorder.rows = dataset.reader.count
        recorder.start()
        _release_connection()
        try:
            printed_report = _printed_report(dataset)
        finally:
            dataset.reader.close()
    finally:
        release()
    return _ROW_COUNT.pack(recorder.rows) + rendering.render_report(printed_report)


def _printed_report(dataset: Dataset) -> report_layout.PrintedReport:
    query = dataset.query
    columns = query.report.columns
    instants = [isinstance(columns[name].cell, Instant) for name in query.fields]
    status = query.fields.index("status") if "status" in query.fields else None
    rows, states = [], []
    for row in dataset.rows():
        if status is not None:
            states.append(str(row[status] or ""))
            row[status] = chart.state_label(states[-1])
        rows.append([_text(value, is_instant=is_instant) for value, is_instant in zip(row, instants, strict=True)])
    return report_layout.PrintedReport(
        title=query.report.title,
        organisation=documents.organization_name(query.by.organization_id),
        made_at=dataset.read_at,
        facts=_describe_query(query),
        columns=[
            PrintedColumn(
                f"{columns[name].label} (UTC)" if is_instant else columns[name].label,
                _WIDTHS.get(name, 1.05),
                name in _NUMBER_FIELDS,
            )
            for name, is_instant in zip(query.fields, instants, strict=True)
        ],
        rows=rows,
        tenant=str(query.by.organization_id),
        states=[state for state in states if state],
    )


def _text(value: object, *, is_instant: bool) -> str:
    if value is None:
        return ""
    if is_instant:
        return str(value)[:16].replace("T", " ")
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _describe_query(query: ReportQuery) -> list[tuple[str, str]]:
    order = query.raw_values.get("ordering", next(iter(query.report.orderings)))
    limit = query.raw_values.get("limit")
    return [
        (
            "Filters",
            " · ".join(f"{parameter_label(name)}: {text}" for name, text in query.filters.items()) or "None",
        ),
        ("Shows", _describe_visibility(query)),
        (
            "Order",
            f"{parameter_label(order.lstrip('-'))}, {'descending' if order.startswith('-') else 'ascending'}",
        ),
        ("Limit", f"{int(limit):,} rows at most" if limit else "None"),
    ]


def _describe_visibility(query: ReportQuery) -> str:
    if query.by.role == "customer":
        return "The shipments of one customer"
    return "The shipments of one driver" if query.by.role == "driver" else "The whole organisation"


def _cache_key(query: ReportQuery) -> str:
    """Return the cache key of the query; subjects who see the same rows and columns share it."""
    by = query.by
    audience = (by.organization_id, by.role, by.customer_id, by.driver_id, by.variant)
    parameters = sorted((name, text) for name, text in query.raw_values.items() if name != "bom")
    return f"export-pdf:{_digest(query.report.name, audience, parameters, query.fields).hex()}"


def _digest(*parts: object) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=STAMP_BYTES).digest()


def _release_connection() -> None:
    """Close the request's connection, except in a transaction: drawing takes seconds and needs none."""
    if not connection.in_atomic_block:
        connection.close()
