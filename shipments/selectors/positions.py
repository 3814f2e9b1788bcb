"""Where drivers are: the newest position of each, beside shipments that were read before."""

import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from django.db import connection

from shipments import representation

# Rows of POSITION_FIELDS by the driver's id as text; those without a position may be left out.
PositionsByDriver = dict[str, representation.Row]
POSITION_FIELDS: Final = ("latitude", "longitude", "recorded_at")
POSITIONS_SQL: Final = (
    "SELECT driver_id, latitude, longitude, recorded_at FROM shipments_driverposition WHERE driver_id = ANY(%s)"
)


def fetch_positions(drivers: Collection[str]) -> PositionsByDriver:
    """Return the positions of these drivers, leaving out those without one: one query, or none without drivers."""
    if not drivers:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(POSITIONS_SQL, [[uuid.UUID(driver) for driver in drivers]])
        return positions_by_driver(cursor.fetchall())


def positions_by_driver(rows: Sequence[Sequence[Any]]) -> PositionsByDriver:
    """Return the positions in rows of `POSITIONS_SQL`."""
    return {str(driver): dict(zip(POSITION_FIELDS, fields, strict=True)) for driver, *fields in rows}


def positions_in_rows(rows: Iterable[representation.Row]) -> PositionsByDriver:
    """Return the positions in rows of `representation.SHIPMENT_COLUMNS`."""
    return {
        str(row["driver_id"]): {name: row[f"{representation.POSITION_PREFIX}{name}"] for name in POSITION_FIELDS}
        for row in rows
    }
