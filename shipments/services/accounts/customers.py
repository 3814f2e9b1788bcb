"""Customers: create, amend, remove. Each one transaction with its feed event and its audit entry."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import ProtectedError

from shipments import log
from shipments.auth.subjects import Subject
from shipments.models import Customer, EventType

_FIELDS = ("name", "email", "phone")


class CustomerNotFound(Exception):
    """No such customer, or not for this subject: the two look alike."""


class CustomerInUse(Exception):
    """Shipments or members refer to the customer, so it cannot be removed."""


def create(*, by: Subject, now: datetime, name: str, **details: Any) -> Customer:
    """Store a new customer. `details`: email, phone."""
    with transaction.atomic():
        customer = Customer(
            organization_id=by.organization_id, name=name, created_at=now, updated_at=now, **details
        )
        customer.save(force_insert=True)
        _record_in_feed(customer.pk, customer.name, by=by, now=now)
        log.record_audit(
            by=by,
            now=now,
            action="create",
            entity="customer",
            entity_id=customer.pk,
            after=_audited_values(customer),
        )
    return customer


def amend(*, by: Subject, now: datetime, customer_id: uuid.UUID, changes: Mapping[str, Any]) -> Customer:
    """Change name, email or phone; without a difference nothing is written. Raises CustomerNotFound."""
    with transaction.atomic():
        customer = _locked_customer(customer_id, by=by)
        before = _audited_values(customer)
        for field in _FIELDS:
            setattr(customer, field, changes.get(field, getattr(customer, field)))
        after = _audited_values(customer)
        changed = {field: value for field, value in after.items() if value != before[field]}
        if not changed:
            return customer
        customer.updated_at = now
        customer.save(update_fields=[*changed, "updated_at"])
        _record_in_feed(customer.pk, customer.name, by=by, now=now)
        log.record_audit(
            by=by, now=now, action="update", entity="customer", entity_id=customer.pk,
            before={field: before[field] for field in changed}, after=changed,
        )  # fmt: skip
    return customer


def remove(*, by: Subject, now: datetime, customer_id: uuid.UUID) -> None:
    """Remove a customer that nothing refers to. Raises CustomerNotFound, CustomerInUse."""
    with transaction.atomic():
        customer = _locked_customer(customer_id, by=by)
        before = _audited_values(customer)
        try:
            customer.delete()
        except ProtectedError as error:
            raise CustomerInUse("Shipments or people belong to this customer; it must stay.") from error
        _record_in_feed(customer_id, customer.name, by=by, now=now)
        log.record_audit(by=by, now=now, action="delete", entity="customer", entity_id=customer_id, before=before)


def _locked_customer(customer_id: uuid.UUID, *, by: Subject) -> Customer:
    customer: Customer | None = Customer.objects.visible_to(by).filter(pk=customer_id).select_for_update().first()
    if customer is None:
        raise CustomerNotFound(str(customer_id))
    return customer


def _record_in_feed(customer_id: uuid.UUID, name: str, *, by: Subject, now: datetime) -> None:
    """Record the change in the organisation's feed: lists that show the name have a new version."""
    customer_json = {"id": str(customer_id), "name": name}
    log.record_organization_event(
        type=EventType.CUSTOMER_CHANGED, by=by, now=now, changes={"customer": customer_json}
    )


def _audited_values(customer: Customer) -> dict[str, Any]:
    return {field: getattr(customer, field) for field in _FIELDS}
