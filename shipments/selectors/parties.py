"""Blocking reads of drivers and customers: rows ready for `representation`."""

import uuid
from typing import Any

from shipments import representation
from shipments.models import Customer, DeviceKey, Driver
from shipments.querysets import CustomerQuerySet, DriverQuerySet, Viewer


def drivers(viewer: Viewer) -> DriverQuerySet:
    """Return the drivers that the viewer may see, to be filtered further."""
    return Driver.objects.visible_to(viewer)


def driver(viewer: Viewer, driver_id: uuid.UUID) -> dict[str, Any] | None:
    """Return the row of one driver, None where it is missing or not visible to the viewer: one query."""
    row: dict[str, Any] | None = drivers(viewer).filter(pk=driver_id).values(*representation.DRIVER_COLUMNS).first()
    return row


def device_keys(driver_id: uuid.UUID) -> Any:
    """Return the device keys of a driver, newest first; the caller has checked that the driver is visible."""
    return DeviceKey.objects.filter(driver_id=driver_id).order_by("-created_at", "-id")


def customers(viewer: Viewer) -> CustomerQuerySet:
    """Return the customer accounts that the viewer may see, to be filtered further."""
    return Customer.objects.visible_to(viewer)


def customer(viewer: Viewer, customer_id: uuid.UUID) -> dict[str, Any] | None:
    """Return the row of one account, None where it is missing or not visible to the viewer: one query."""
    rows = customers(viewer).filter(pk=customer_id)
    row: dict[str, Any] | None = rows.values(*representation.CUSTOMER_COLUMNS).first()
    return row
