"""The format `pdf` of every report: made whole by renderers, and kept for who asks for the same state again."""

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import orjson
from django.conf import settings
from django.db import connection

from exports import concurrency_limit
from exports.pdf import rendering, report_layout
from exports.pdf.report_layout import PrintedColumn
from exports.reports import report_query
from exports.reports.format_registry import Dataset, Format
from exports.reports.report_query import ReportQuery
from exports.reports.run_recorder import RunRecorder
from shipments.caching import versions
from shipments.caching.service import STAMP_BYTES, CacheService
from shipments.selectors import documents
from shipments.selectors.reports.cells import Instant

# What a page has room for.
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
# Of these every change is an event of the organisation; logins, for one, are in the audit alone.
_EVENT_SOURCED: Final = frozenset({"shipments", "events", "deliveries"})
_ROW_COUNT: Final = struct.Struct(">Q")

cache: Final = CacheService(
    "export-pdf",
    ttl=settings.EXPORT_CACHE_TTL_SECONDS,
    wait=30.0,
    max_bytes=6 * 1024 * 1024,
    local_bytes=16 * 1024 * 1024,
)


def fit_to_page(query: ReportQuery) -> ReportQuery:
    """Return what a page has room for: chosen fields, where none are named. Raises Invalid."""
    if "fields" not in query.raw_values:
        return replace(query, fields=_DEFAULT_FIELDS.get(query.report.name, query.fields[:MAX_FIELDS]))
    if len(query.fields) > MAX_FIELDS:
        raise report_query.parameter_error(
            "fields", "too_many", f"A page of a PDF has room for {MAX_FIELDS} columns."
        )
    return query


def write(dataset: Dataset) -> Iterator[bytes]:
    """Yield the file; raises what `drawing` raises."""
    yield _render(dataset)


def render_file(query: ReportQuery, recorder: RunRecorder) -> bytes:
    """Return the file, out of the cache where the same state was drawn before; `record` is started.

    Raises Busy, Invalid, OperationalError and what `drawing` raises.
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
    stamp = _digest(version[:2], documents.organization_name(query.by.organization_id), code_fingerprint())
    _release_connection()
    content = cache.get_or_set_stamped(_cache_key(query), stamp, render)
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
    from exports.reports import execution  # which knows the formats, this one among them

    release = concurrency_limit.report_reads.acquire()
    try:
        dataset = execution.open_dataset(query, PDF)
        recorder.rows = dataset.reading.count
        recorder.start()
        _release_connection()
        try:
            printed_report = _printed_report(dataset)
        finally:
            dataset.reading.close()
    finally:
        release()
    return _ROW_COUNT.pack(recorder.rows) + rendering.render_report(printed_report)


def _render(dataset: Dataset) -> bytes:
    rendering.require_libraries()
    return rendering.render_report(_printed_report(dataset))


def _printed_report(dataset: Dataset) -> report_layout.PrintedReport:
    query = dataset.query
    columns = query.report.columns
    instants = [isinstance(columns[name].cell, Instant) for name in query.fields]
    status = query.fields.index("status") if "status" in query.fields else None
    rows, states = [], []
    for row in dataset.rows():
        if status is not None:
            states.append(str(row[status] or ""))
            row[status] = report_layout.state_label(states[-1])
        rows.append([_text(value, is_instant=is_instant) for value, is_instant in zip(row, instants, strict=True)])
    return report_layout.PrintedReport(
        title=query.report.title,
        organisation=documents.organization_name(query.by.organization_id),
        made_at=dataset.read_at,
        facts=_describe_query(query),
        columns=[
            PrintedColumn(columns[name].label, _WIDTHS.get(name, 1.05), name in _NUMBER_FIELDS)
            for name in query.fields
        ],
        rows=rows,
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
        ("Filters", " · ".join(f"{_label(name)}: {text}" for name, text in query.filters.items()) or "None"),
        ("Shows", _describe_visibility(query)),
        ("Order", f"{_label(order.lstrip('-'))}, {'descending' if order.startswith('-') else 'ascending'}"),
        ("Limit", f"{int(limit):,} rows at most" if limit else "None; all times are UTC"),
    ]


def _describe_visibility(query: ReportQuery) -> str:
    if query.by.role == "customer":
        return "What concerns one customer account"
    return "What concerns one driver" if query.by.role == "driver" else "The whole organisation"


def _label(name: str) -> str:
    """Write a name of the wire as words: `createdAfter` is `Created after`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip().capitalize()


def _cache_key(query: ReportQuery) -> str:
    """Name what was asked, by whoever sees the same."""
    by = query.by
    audience = (by.organization_id, by.role, by.customer_id, by.driver_id, by.variant)
    parameters = sorted((name, text) for name, text in query.raw_values.items() if name != "bom")
    return f"export-pdf:{_digest(query.report.name, audience, parameters, query.fields).hex()}"


def _digest(*parts: object) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=STAMP_BYTES).digest()


@lru_cache(maxsize=1)
def code_fingerprint() -> str:
    """Name the code and the templates that draw: what another release drew is not ours."""
    here = Path(__file__).resolve().parent
    sources = sorted([*here.glob("*.py"), *(here.parents[1] / "templates" / "exports").iterdir()])
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest() + settings.VERSION


def _release_connection() -> None:
    """Give the request's connection back: drawing takes long and needs none."""
    if not connection.in_atomic_block:
        connection.close()
