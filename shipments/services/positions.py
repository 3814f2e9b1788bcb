"""Drivers' positions: the newest wins, kept outside the log."""

import uuid
from datetime import datetime

from django.db import connection


def record_position(*, driver_id: uuid.UUID, latitude: float, longitude: float, recorded_at: datetime) -> bool:
    """This will keep the position unless a newer one is known, and say whether it did. WGS 84 degrees.

    The caller has checked that the driver is its own.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO shipments_driverposition (driver_id, latitude, longitude, recorded_at)"
            " VALUES (%s, %s, %s, %s) ON CONFLICT (driver_id) DO UPDATE SET latitude = EXCLUDED.latitude,"
            " longitude = EXCLUDED.longitude, recorded_at = EXCLUDED.recorded_at"
            " WHERE shipments_driverposition.recorded_at < EXCLUDED.recorded_at",
            [driver_id, latitude, longitude, recorded_at],
        )
        return bool(cursor.rowcount)
