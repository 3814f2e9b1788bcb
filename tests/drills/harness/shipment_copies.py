"""Many shipments in a second: copies of one, made by the database."""

import uuid
from typing import Final

from django.db import connection, transaction

# Each with its first event: the log is checked at COMMIT.
_STATEMENTS: Final = """
CREATE TEMP TABLE copies ON COMMIT DROP AS SELECT n, gen_random_uuid() AS id FROM generate_series(2, %(rows)s) AS n;
INSERT INTO shipments_shipment
SELECT (jsonb_populate_record(original, jsonb_build_object('id', copies.id, 'reference', 'COPY-' || n))).*
FROM shipments_shipment AS original, copies WHERE original.id = %(id)s;
INSERT INTO shipments_shipmentevent
SELECT (jsonb_populate_record(original, jsonb_build_object('id', gen_random_uuid(), 'shipment_id', copies.id))).*
FROM shipments_shipmentevent AS original, copies WHERE original.shipment_id = %(id)s
"""


def insert_copies(original: uuid.UUID, rows: int) -> None:
    """Store `rows` - 1 copies of a freshly booked shipment, each with its first event."""
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in _STATEMENTS.split(";\n"):
            cursor.execute(statement, {"rows": rows, "id": original})
