"""Customer accounts: open, amend, close. Each one transaction with its audit entry."""

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
    """Shipments or people belong to the account, so it must stay."""


def create(*, by: Subject, now: datetime, name: str, **details: Any) -> Customer:
    """Store a new customer account. `details`: email, phone."""
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
    """Change name, email or phone; what is the same already is no change. Raises CustomerNotFound."""
    with transaction.atomic():
        customer = _locked_customer(customer_id, by=by)
        before = _audited_values(customer)
        for field in _FIELDS:
            setattr(customer, field, changes.get(field, getattr(customer, field)))
        after = _audited_values(customer)
        changed_fields = [field for field in _FIELDS if after[field] != before[field]]
        if not changed_fields:
            return customer
        customer.updated_at = now
        customer.save(update_fields=[*changed_fields, "updated_at"])
        _record_in_feed(customer.pk, customer.name, by=by, now=now)
        log.record_audit(
            by=by, now=now, action="update", entity="customer", entity_id=customer.pk,
            before={field: before[field] for field in changed_fields}, after={field: after[field] for field in changed_fields},
        )  # fmt: skip
    return customer


def remove(*, by: Subject, now: datetime, customer_id: uuid.UUID) -> None:
    """Remove an account that nothing refers to. Raises CustomerNotFound, CustomerInUse."""
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
    """Put the change into the organisation's feed: lists that show the name are another version now."""
    customer_json = {"id": str(customer_id), "name": name}
    log.record_organization_event(
        type=EventType.CUSTOMER_CHANGED, by=by, now=now, changes={"customer": customer_json}
    )


def _audited_values(customer: Customer) -> dict[str, Any]:
    return {field: getattr(customer, field) for field in _FIELDS}
