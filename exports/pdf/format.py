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

from exports import asking, slots
from exports.asking import Asked
from exports.formats import Format, Sheet
from exports.pdf import drawing, report
from exports.pdf.report import Column
from exports.record import Record
from shipments.cache import STAMP_BYTES, CacheService
from shipments.selectors import documents, versions
from shipments.selectors.cells import Instant

# What a page has room for.
MOST_FIELDS: Final = 12
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
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
_NUMBERS: Final = frozenset({"seq", "pieces", "weightKg", "volumeM3", "minutesLate"})
# Of these every change is an event of the organisation; logins, for one, are in the audit alone.
_OF_EVENTS: Final = frozenset({"shipments", "events", "deliveries"})
_ROWS: Final = struct.Struct(">Q")

cache: Final = CacheService(
    "export-pdf",
    ttl=settings.EXPORT_CACHE_TTL_SECONDS,
    wait=30.0,
    most_bytes=6 * 1024 * 1024,
    local_bytes=16 * 1024 * 1024,
)


def fitted(asked: Asked) -> Asked:
    """This will return what a page has room for: chosen fields, where none are named. Raises Invalid."""
    if "fields" not in asked.words:
        return replace(asked, fields=_FIELDS.get(asked.report.name, asked.fields[:MOST_FIELDS]))
    if len(asked.fields) > MOST_FIELDS:
        raise asking.refuse("fields", "too_many", f"A page of a PDF has room for {MOST_FIELDS} columns.")
    return asked


def write(sheet: Sheet) -> Iterator[bytes]:
    """This will yield the file; raises what `drawing` raises."""
    yield _drawn(sheet)


def whole(asked: Asked, record: Record) -> bytes:
    """This will return the file, out of the cache where the same state was drawn before; `record` is started.

    Raises Busy, Invalid, OperationalError and what `drawing` raises.
    """
    drawing.check()
    asked = fitted(asked)
    version = None
    if asked.report.name in _OF_EVENTS and not connection.in_atomic_block:
        version = versions.now(asked.by.organization_id)
    made = False

    def make() -> bytes:
        nonlocal made
        made = True
        return _read_and_drawn(asked, record)

    if version is None:
        return make()[_ROWS.size :]
    stamp = _digest(version[:2], documents.organisation(asked.by.organization_id), generation())
    _let_go()
    kept = cache.stamped(_key(asked), stamp, make)
    record.cached = not made
    if not made:
        record.rows = _ROWS.unpack_from(kept)[0]
        record.start()
    return kept[_ROWS.size :]


PDF: Final = Format("pdf", "application/pdf", "json", write, most_rows=report.MOST_ROWS, fit=fitted, whole=whole)


def _read_and_drawn(asked: Asked, record: Record) -> bytes:
    from exports import opening  # which knows the formats, this one among them

    release = slots.readings.take()
    try:
        sheet = opening.sheet(asked, PDF)
        record.rows = sheet.reading.count
        record.start()
        _let_go()
        try:
            printed = _printed(sheet)
        finally:
            sheet.reading.close()
    finally:
        release()
    return _ROWS.pack(record.rows) + drawing.report(printed)


def _drawn(sheet: Sheet) -> bytes:
    drawing.check()
    return drawing.report(_printed(sheet))


def _printed(sheet: Sheet) -> report.Report:
    asked = sheet.asked
    columns = asked.report.columns
    instants = [isinstance(columns[name].cell, Instant) for name in asked.fields]
    status = asked.fields.index("status") if "status" in asked.fields else None
    rows, states = [], []
    for row in sheet.rows():
        if status is not None:
            states.append(str(row[status] or ""))
            row[status] = report.words(states[-1])
        rows.append([_text(value, is_instant=is_instant) for value, is_instant in zip(row, instants, strict=True)])
    return report.Report(
        title=asked.report.title,
        organisation=documents.organisation(asked.by.organization_id),
        made_at=sheet.at,
        facts=_facts(asked),
        columns=[Column(columns[name].label, _WIDTHS.get(name, 1.05), name in _NUMBERS) for name in asked.fields],
        rows=rows,
        states=[state for state in states if state],
    )


def _text(value: object, *, is_instant: bool) -> str:
    if value is None:
        return ""
    if is_instant:
        return str(value)[:16].replace("T", " ")
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _facts(asked: Asked) -> list[tuple[str, str]]:
    order = asked.words.get("ordering", next(iter(asked.report.orders)))
    limit = asked.words.get("limit")
    return [
        ("Filters", " · ".join(f"{_label(name)}: {text}" for name, text in asked.filters.items()) or "None"),
        ("Shows", _sight(asked)),
        ("Order", f"{_label(order.lstrip('-'))}, {'descending' if order.startswith('-') else 'ascending'}"),
        ("Limit", f"{int(limit):,} rows at most" if limit else "None; all times are UTC"),
    ]


def _sight(asked: Asked) -> str:
    if asked.by.role == "customer":
        return "What concerns one customer account"
    return "What concerns one driver" if asked.by.role == "driver" else "The whole organisation"


def _label(name: str) -> str:
    """This will write a name of the wire as words: `createdAfter` is `Created after`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip().capitalize()


def _key(asked: Asked) -> str:
    """This will name what was asked, by whoever sees the same."""
    by = asked.by
    sees = (by.organization_id, by.role, by.customer_id, by.driver_id, by.variant)
    told = sorted((name, text) for name, text in asked.words.items() if name != "bom")
    return f"export-pdf:{_digest(asked.report.name, sees, told, asked.fields).hex()}"


def _digest(*parts: object) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=STAMP_BYTES).digest()


@lru_cache(maxsize=1)
def generation() -> str:
    """This will name the code and the templates that draw: what another release drew is not ours."""
    here = Path(__file__).resolve().parent
    sources = sorted([*here.glob("*.py"), *(here.parents[1] / "templates" / "exports").iterdir()])
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest() + settings.VERSION


def _let_go() -> None:
    """This will give the request's connection back: drawing takes long and needs none."""
    if not connection.in_atomic_block:
        connection.close()
