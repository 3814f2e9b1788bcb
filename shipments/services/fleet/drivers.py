"""Drivers: create, amend, remove or deactivate. Each one transaction with its feed event and its audit entry."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import ProtectedError

from shipments import log
from shipments.auth.subjects import Subject
from shipments.models import Driver, EventType, Position

_FIELDS = ("name", "phone", "status", "license_number", "vehicle")


class DriverNotFound(Exception):
    """No such driver, or not for this subject: the two look alike."""


def create(*, by: Subject, now: datetime, name: str, **details: Any) -> Driver:
    """Store a new driver. `details`: phone, status, license_number, vehicle."""
    with transaction.atomic():
        driver = Driver(organization_id=by.organization_id, name=name, created_at=now, updated_at=now, **details)
        driver.save(force_insert=True)
        _record_in_feed(driver, driver.pk, by=by, now=now)
        log.record_audit(
            by=by, now=now, action="create", entity="driver", entity_id=driver.pk, after=_audited_values(driver)
        )
    return driver


def amend(*, by: Subject, now: datetime, driver_id: uuid.UUID, changes: Mapping[str, Any]) -> Driver:
    """Change name, phone, status, license_number or vehicle; without a difference nothing is written.

    Raises DriverNotFound.
    """
    with transaction.atomic():
        driver = locked_driver(driver_id, by=by)
        before = _audited_values(driver)
        for field in _FIELDS:
            setattr(driver, field, changes.get(field, getattr(driver, field)))
        _save_changes(driver, by=by, now=now, before=before)
    return driver


def remove_or_deactivate(*, by: Subject, now: datetime, driver_id: uuid.UUID) -> bool:
    """Remove a driver that nothing refers to, else set it inactive; return whether it was removed.

    Raises DriverNotFound.
    """
    with transaction.atomic():
        driver = locked_driver(driver_id, by=by)
        before = _audited_values(driver)
        try:
            # The row lock keeps new references out: inserting one takes FOR KEY SHARE on this row.
            driver.delete()
        except ProtectedError:
            driver.status = Driver.Status.INACTIVE
            _save_changes(driver, by=by, now=now, before=before)
            return False
        # Positions have no foreign key; the row lock keeps new ones out.
        Position.objects.filter(driver_id=driver_id).delete()
        _record_in_feed(driver, driver_id, by=by, now=now)
        log.record_audit(by=by, now=now, action="delete", entity="driver", entity_id=driver_id, before=before)
    return True


def locked_driver(driver_id: uuid.UUID, *, by: Subject) -> Driver:
    """Return the driver, locked FOR UPDATE until the caller's transaction ends. Raises DriverNotFound."""
    driver: Driver | None = Driver.objects.visible_to(by).filter(pk=driver_id).select_for_update().first()
    if driver is None:
        raise DriverNotFound(str(driver_id))
    return driver


def _record_in_feed(driver: Driver, driver_id: uuid.UUID, *, by: Subject, now: datetime) -> None:
    """Record the change in the organisation's feed: lists that show the driver have a new version."""
    driver_json = {"id": str(driver_id), "name": driver.name, "status": driver.status}
    log.record_organization_event(type=EventType.DRIVER_CHANGED, by=by, now=now, changes={"driver": driver_json})


def _save_changes(driver: Driver, *, by: Subject, now: datetime, before: Mapping[str, Any]) -> None:
    after = _audited_values(driver)
    changed = {field: value for field, value in after.items() if value != before[field]}
    if not changed:
        return
    driver.updated_at = now
    driver.save(update_fields=[*changed, "updated_at"])
    _record_in_feed(driver, driver.pk, by=by, now=now)
    log.record_audit(
        by=by, now=now, action="update", entity="driver", entity_id=driver.pk,
        before={field: before[field] for field in changed}, after=changed,
    )  # fmt: skip


def _audited_values(driver: Driver) -> dict[str, Any]:
    return {field: str(getattr(driver, field)) for field in _FIELDS}
