"""Device keys, with which drivers' phones report positions: shown once, revocable, stored as a digest."""

import uuid
from datetime import datetime

from django.db import transaction

from shipments import log
from shipments.auth import tokens
from shipments.auth.subjects import Subject
from shipments.models import DeviceKey, Driver
from shipments.services.fleet.drivers import locked_driver
from shipments.services.validation import InvalidArgument

# More phones than any driver has; a bound for a script that creates keys in a loop.
MAX_KEYS = 20


class DeviceKeyNotFound(Exception):
    """No such key of this driver, or not for this subject."""


def create(*, by: Subject, now: datetime, driver_id: uuid.UUID, name: str) -> tuple[DeviceKey, str]:
    """Store a key that reports this driver's position and nothing else, and return it with its secret.

    An API key with the scope `positions:write` makes one, too: it can report these positions itself. Raises
    Forbidden, DriverNotFound, InvalidArgument.
    """
    by.require("devices:write")
    secret = tokens.new_device_key()
    with transaction.atomic():
        driver = locked_driver(driver_id, by=by)
        if driver.status == Driver.Status.INACTIVE:
            raise InvalidArgument("name", "This driver is inactive: its position is not taken.", code="inactive")
        if DeviceKey.objects.filter(driver=driver, revoked_at=None).count() >= MAX_KEYS:
            raise InvalidArgument("name", f"At most {MAX_KEYS} keys at a time; revoke one first.", code="too_many")
        key = DeviceKey.objects.create(
            organization_id=driver.organization_id,
            driver=driver,
            name=name,
            prefix=secret[:8],
            digest=tokens.digest(secret),
            created_at=now,
        )
        log.record_audit(
            by=by, now=now, action="permission", entity="device_key", entity_id=key.pk,
            after={"name": name, "driver": str(driver_id)},
        )  # fmt: skip
    return key, secret


def revoke(*, by: Subject, now: datetime, driver_id: uuid.UUID, key_id: uuid.UUID) -> None:
    """Revoke a key at once; a revoked one stays as it is.

    Raises Forbidden, DriverNotFound, DeviceKeyNotFound.
    """
    by.require("devices:write")
    with transaction.atomic():
        driver = locked_driver(driver_id, by=by)
        key = DeviceKey.objects.filter(driver=driver, pk=key_id).first()
        if key is None:
            raise DeviceKeyNotFound(str(key_id))
        if key.revoked_at:
            return
        key.revoked_at = now
        key.save(update_fields=["revoked_at"])
        log.record_audit(
            by=by, now=now, action="permission", entity="device_key", entity_id=key.pk,
            before={"name": key.name, "driver": str(driver_id)}, after={"revoked": True},
        )  # fmt: skip
