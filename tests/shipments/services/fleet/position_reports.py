"""Helpers of the position tests: report as a driver, and read what is stored and shown."""

from datetime import datetime, timedelta
from typing import Any

from shipments import intake
from shipments.auth.subjects import Subject
from shipments.models import DriverPosition, Position
from tests.factories import NOW
from tests.narrowing import present

SECOND = timedelta(seconds=1)
AMSTERDAM, HARBOUR, NEW_YORK = (52.37, 4.89), (52.40, 4.85), (40.71, -74.01)


def report(by: Subject, at: tuple[float, float] = AMSTERDAM, when: datetime | None = NOW, **more: Any) -> str:
    arguments: dict[str, Any] = {"now": NOW, "latitude": at[0], "longitude": at[1], "recorded_at": when} | more
    return intake.record_position(by=by, **arguments).outcome


def current_position(by: Subject) -> tuple[float, float, datetime] | None:
    return (
        DriverPosition.objects.filter(driver_id=present(by.driver_id))
        .values_list("latitude", "longitude", "recorded_at")
        .first()
    )


def stored_times(by: Subject, **filters: Any) -> list[datetime]:
    rows = Position.objects.filter(driver_id=present(by.driver_id), **filters)
    return list(rows.order_by("recorded_at").values_list("recorded_at", flat=True))
