"""Bulk loader of the demo, the one writer beside the services: COPY in chunks with the row triggers disabled.

The invariants that the triggers enforce are checked for the whole organisation afterwards.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import orjson
from django.db import connection
from django.db.backends.utils import CursorWrapper

from shipments.demo import history
from shipments.demo.history import ShipmentHistory

TABLES: Final = {
    "shipments_shipment": history.SHIPMENT_COLUMNS,
    "shipments_shipmentevent": history.EVENT_COLUMNS,
    "shipments_auditentry": history.AUDIT_COLUMNS,
}
# Row triggers: `check_invariants` does the work of the first three, `_ENQUEUE_FOR_RELAY` that of the others.
_TRIGGERS: Final = {
    "shipment_seq": "shipments_shipment",
    "shipment_has_event": "shipments_shipment",
    "event_has_shipment": "shipments_shipmentevent",
    "event_unnumbered": "shipments_shipmentevent",
    "entry_unlinked": "shipments_auditentry",
}
# Queues of the relay: events without a position in the feed, audit entries outside the chain.
_ENQUEUE_FOR_RELAY: Final = (
    """
    INSERT INTO shipments_unnumberedevent (event_id, organization_id)
    SELECT id, organization_id FROM shipments_shipmentevent WHERE organization_id = %s
    """,
    """
    INSERT INTO shipments_unlinkedentry (entry_id, organization_id)
    SELECT id, organization_id FROM shipments_auditentry WHERE organization_id = %s AND entity = 'shipment'
    """,
)
# From this many shipments on, indexes and foreign keys are built once at the end instead of row by row.
_BULK_THRESHOLD: Final = 50_000
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})
# What the triggers would have refused row by row, counted for the whole organisation.
_INVARIANTS: Final = {
    "shipments whose seq is not the number of their events": """
        SELECT count(*) FROM shipments_shipment s LEFT JOIN (
            SELECT shipment_id, count(*) AS n, max(seq) AS head, min(seq) AS first FROM shipments_shipmentevent
            WHERE organization_id = %(organization)s GROUP BY shipment_id
        ) e ON e.shipment_id = s.id
        WHERE s.organization_id = %(organization)s
          AND (e.n, e.head, e.first) IS DISTINCT FROM (s.seq, s.seq, 1::bigint)
    """,
    "events of no shipment of their organisation": """
        SELECT count(*) FROM shipments_shipmentevent e
        LEFT JOIN shipments_shipment s ON s.id = e.shipment_id AND s.organization_id = e.organization_id
        WHERE e.organization_id = %(organization)s AND s.id IS NULL
    """,
    "events without an audit entry": """
        SELECT abs((SELECT count(*) FROM shipments_shipmentevent WHERE organization_id = %(organization)s)
                 - (SELECT count(*) FROM shipments_auditentry
                    WHERE organization_id = %(organization)s AND entity = 'shipment'))
    """,
}


class InvariantBroken(Exception):
    """The loaded rows break an invariant of the log; the transaction is rolled back."""


def load(
    histories: Iterator[list[ShipmentHistory]],
    *,
    organization_id: uuid.UUID,
    expected: int,
    progress: Callable[[int], None],
) -> tuple[int, int]:
    """Store the histories of one organisation and return the numbers of shipments and events.

    The caller holds a transaction, and its database role owns the tables. Memory is bounded by two chunks.
    Raises InvariantBroken where the result breaks an invariant that the triggers enforce.
    """
    shipments = events = 0
    with connection.cursor() as cursor, _triggers_disabled(cursor), _indexes_dropped(cursor, expected):
        # A thread generates and encodes the next chunk while PostgreSQL reads this one.
        with ThreadPoolExecutor(1, thread_name_prefix="demo-histories") as executor:
            pending = executor.submit(_next_chunk, histories)
            while chunk := pending.result():
                pending = executor.submit(_next_chunk, histories)
                for table, rows in zip(TABLES, chunk.tables, strict=True):
                    _copy(cursor, table, rows)
                shipments += chunk.shipments
                events += chunk.events
                progress(chunk.shipments)
        _flush_deferred_constraints(cursor)
        for queue in _ENQUEUE_FOR_RELAY:
            cursor.execute(queue, [organization_id])
    check_invariants(organization_id)
    return shipments, events


def check_invariants(organization_id: uuid.UUID) -> None:
    """Raise InvariantBroken unless the organisation's log and its shipments agree: three queries."""
    with connection.cursor() as cursor:
        for rule, sql in _INVARIANTS.items():
            cursor.execute(sql, {"organization": organization_id})
            row = cursor.fetchone()
            if row is None or row[0]:
                raise InvariantBroken(f"{row and row[0]} {rule}.")


class _Chunk:
    """A chunk of histories in COPY's text format."""

    __slots__ = ("events", "shipments", "tables")

    def __init__(self, histories: Sequence[ShipmentHistory]) -> None:
        self.shipments = len(histories)
        self.events = sum(len(each.events) for each in histories)
        self.tables = (
            _copy_text(each.shipment for each in histories),
            _copy_text(row for each in histories for row in each.events),
            _copy_text(row for each in histories for row in each.audit),
        )


def _next_chunk(histories: Iterator[list[ShipmentHistory]]) -> _Chunk | None:
    batch = next(histories, None)
    return _Chunk(batch) if batch else None


def _copy_text(rows: Iterator[tuple[Any, ...]]) -> bytes:
    return "".join("\t".join(map(_copy_value, row)) + "\n" for row in rows).encode()


def _copy_value(value: object) -> str:
    """Return one value in COPY's text format."""
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode().replace("\\", "\\\\")
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _copy(cursor: CursorWrapper, table: str, rows: bytes) -> None:
    columns = ", ".join(f'"{column}"' for column in TABLES[table])
    with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
        copy.write(rows)


def _flush_deferred_constraints(cursor: CursorWrapper) -> None:
    """Check the deferred constraints now: a table with pending trigger events cannot be altered."""
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    cursor.execute("SET CONSTRAINTS ALL DEFERRED")


@contextmanager
def _triggers_disabled(cursor: CursorWrapper) -> Iterator[None]:
    """Disable the row triggers inside this transaction."""
    cursor.execute("SET LOCAL lock_timeout = '30s'")
    cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    for trigger, table in _TRIGGERS.items():
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
    yield
    for trigger, table in _TRIGGERS.items():
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER {trigger}")


@contextmanager
def _indexes_dropped(cursor: CursorWrapper, expected: int) -> Iterator[None]:
    """Drop indexes, unique and foreign keys while very many rows are loaded, and build them again."""
    if expected < _BULK_THRESHOLD:
        yield
        return
    _flush_deferred_constraints(cursor)
    cursor.execute("SET LOCAL maintenance_work_mem = '256MB'")
    tables = [[*TABLES]]
    cursor.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE contype IN ('f', 'u') AND conrelid = ANY(%s::regclass[]) ORDER BY contype DESC",
        tables,
    )
    constraints = cursor.fetchall()
    cursor.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index i"
        " WHERE indrelid = ANY(%s::regclass[]) AND NOT EXISTS"
        " (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)",
        tables,
    )
    indexes = cursor.fetchall()
    for table, name, _ in constraints:
        cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
    for name, _ in indexes:
        cursor.execute(f"DROP INDEX {name}")
    yield
    for _, definition in indexes:
        cursor.execute(definition)
    for table, name, definition in constraints:
        cursor.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
