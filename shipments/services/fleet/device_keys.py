"""The keys by which drivers' phones report positions: made once, shown once, revoked; only the digest is kept."""

import uuid
from datetime import datetime

from django.db import transaction

from shipments import log
from shipments.auth import tokens
from shipments.auth.subjects import Forbidden, Subject
from shipments.models import DeviceKey, Driver
from shipments.services.fleet.drivers import DriverNotFound
from shipments.services.validation import InvalidArgument

# More phones than any driver has, and a bound for a script that makes one a minute.
MAX_KEYS = 20


class DeviceKeyNotFound(Exception):
    """No such key of this driver, or not for this subject."""


def create(*, by: Subject, now: datetime, driver_id: uuid.UUID, name: str) -> tuple[DeviceKey, str]:
    """Store a key that reports this driver's position and nothing else, and return it with its secret.

    A key cannot make keys. Raises Forbidden, DriverNotFound, Invalid.
    """
    _require_device_admin(by)
    secret = tokens.new_device_key()
    with transaction.atomic():
        driver = _locked_driver(driver_id, by=by)
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
    """End a key at once; one that has ended stays ended.

    Raises Forbidden, DriverNotFound, DeviceKeyNotFound.
    """
    _require_device_admin(by)
    with transaction.atomic():
        driver = _locked_driver(driver_id, by=by)
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


def _locked_driver(driver_id: uuid.UUID, *, by: Subject) -> Driver:
    driver: Driver | None = Driver.objects.visible_to(by).filter(pk=driver_id).select_for_update().first()
    if driver is None:
        raise DriverNotFound(str(driver_id))
    return driver


def _require_device_admin(by: Subject) -> None:
    by.require("devices:write")
    if by.scopes is not None:
        raise Forbidden("Keys are managed by people, not by keys.")
