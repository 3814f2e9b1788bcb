"""Querysets with chainable filters; every read begins with `visible_to` or `of_organization`."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol, Self

from django.db import models
from django.db.models.functions import Cast, Upper


class _RawLookup(models.Lookup):
    """A comparison whose right side the ORM does not convert."""

    prepare_rhs = False
    sql_template: ClassVar[str]

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        """Return SQL and parameters."""
        left, params = self.process_lhs(compiler, connection)
        right, values = self.process_rhs(compiler, connection)
        return self.sql_template.format(left, right), (*params, *values)


class EqualsAny(_RawLookup):
    """Equal to any item of an array parameter; `IN` would need other SQL for each number of items."""

    lookup_name = "any_of"
    sql_template = "{} = ANY({})"


class Like(_RawLookup):
    """A text that matches a LIKE pattern."""

    lookup_name = "like"
    sql_template = "{} LIKE {}"


class NameKey(models.Func):
    """A name as it is compared, whatever its form: `names.comparison_key` in SQL, in capitals.

    PostgreSQL takes no-break and other wide spaces for letters, and has no capital for ß.
    """

    template = (
        r"upper(replace(normalize(btrim(regexp_replace(%(expressions)s,"
        r" '[\s\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+', ' ', 'g')), NFC), 'ß', 'ss'))"
    )
    output_field = models.TextField()


class Viewer(Protocol):
    """The attributes of a subject that decide what it may see."""

    @property
    def organization_id(self) -> uuid.UUID: ...
    @property
    def role(self) -> str: ...
    @property
    def customer_id(self) -> uuid.UUID | None: ...
    @property
    def driver_id(self) -> uuid.UUID | None: ...
    @property
    def shipment_id(self) -> uuid.UUID | None: ...


class OwningViewer(Viewer, Protocol):
    """A viewer whose own objects, by its user id, count too."""

    @property
    def user_id(self) -> uuid.UUID | None: ...


@dataclass(frozen=True, slots=True)
class VisibilityScope:
    """The attributes of a viewer that decide which shipments it sees: viewers with equal scopes share queries."""

    organization_id: uuid.UUID
    role: str
    customer_id: uuid.UUID | None
    driver_id: uuid.UUID | None
    shipment_id: uuid.UUID | None
    user_id: uuid.UUID | None = None

    @classmethod
    def of(cls, viewer: Viewer) -> Self:
        """Return the scope of a viewer."""
        return cls(viewer.organization_id, viewer.role, viewer.customer_id, viewer.driver_id, viewer.shipment_id)


class OrganizationQuerySet(models.QuerySet[Any]):
    """Rows that belong to one organisation."""

    def of_organization(self, organization_id: uuid.UUID) -> Self:
        """Keep the rows of one organisation."""
        return self.filter(organization_id=organization_id)


class ShipmentQuerySet(OrganizationQuerySet):
    """Shipments; a discarded draft stays as a row for its log alone.

    `is_fuzzy`: the rows of a search that found nothing as it was written are only like it.
    """

    is_fuzzy = False

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]  # not in the stubs
        clone.is_fuzzy = self.is_fuzzy
        return clone

    def not_deleted(self) -> Self:
        """Exclude discarded drafts."""
        return self.filter(deleted_at=None)

    def visible_to(self, viewer: Viewer) -> Self:
        """Keep what the viewer may see: a driver its assignments, a customer those of its account.

        A tracking link sees its one shipment, a device key none, other roles all of the organisation.
        """
        rows = self.of_organization(viewer.organization_id).not_deleted()
        if viewer.role == "tracking":
            return rows.filter(pk=viewer.shipment_id) if viewer.shipment_id else rows.none()
        if viewer.role == "device":
            return rows.none()
        if viewer.role == "driver":
            return rows.filter(driver_id=viewer.driver_id) if viewer.driver_id else rows.none()
        if viewer.role == "customer":
            return rows.filter(customer_id=viewer.customer_id) if viewer.customer_id else rows.none()
        return rows

    def with_reference(self, reference: str) -> Self:
        """Keep the shipment with this reference, in any case."""
        return self.alias(reference_key=Upper("reference")).filter(reference_key=reference.upper())

    def with_references(self, references: Sequence[str]) -> Self:
        """Keep the shipments with these references, in any case."""
        keys = [reference.upper() for reference in references]
        return self.filter(EqualsAny(Upper("reference"), models.Value(keys)))

    def with_other_reference(self, name: str, text: Any) -> Self:
        """Keep the shipments that have this text, exactly, as `references` of this name or among several."""
        key, single = (Cast(models.Value(each), models.TextField()) for each in (name, text))
        several = models.Func(single, function="jsonb_build_array")
        objects = (
            models.Func(key, value, function="jsonb_build_object", output_field=models.JSONField())
            for value in (single, several)
        )
        alone, among_several = (models.Q(references__contains=each) for each in objects)
        return self.filter(alone | among_several)


class EventQuerySet(models.QuerySet[Any]):
    """Events of the log."""

    def after_seq(self, seq: int) -> Self:
        """Keep the events after `seq`, in order."""
        return self.filter(seq__gt=seq).order_by("seq")


class DriverQuerySet(OrganizationQuerySet):
    """Drivers."""

    def visible_to(self, viewer: Viewer) -> Self:
        """Keep what the viewer may see: a driver or its device key itself, customers and tracking links nobody."""
        rows = self.of_organization(viewer.organization_id)
        if viewer.role in {"driver", "device"}:
            return rows.filter(pk=viewer.driver_id) if viewer.driver_id else rows.none()
        return rows.none() if viewer.role in {"customer", "tracking"} else rows


class CustomerQuerySet(OrganizationQuerySet):
    """Customer accounts."""

    def visible_to(self, viewer: Viewer) -> Self:
        """Keep what the viewer may see: a customer its own account, drivers and tracking links none."""
        rows = self.of_organization(viewer.organization_id)
        if viewer.role == "customer":
            return rows.filter(pk=viewer.customer_id) if viewer.customer_id else rows.none()
        return rows.none() if viewer.role in {"driver", "device", "tracking"} else rows


class ApiKeyQuerySet(OrganizationQuerySet):
    """API keys."""

    def visible_to(self, viewer: OwningViewer) -> Self:
        """Keep what the viewer manages: an administrator the organisation's keys, others their own."""
        rows = self.of_organization(viewer.organization_id)
        return rows if viewer.role in {"admin", "superuser", "system"} else rows.filter(user_id=viewer.user_id)

    def usable(self, now: datetime) -> Self:
        """Keep the keys that are neither revoked nor expired at `now`."""
        return self.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=now), revoked_at=None)


class LinkQuerySet(OrganizationQuerySet):
    """Tracking links."""

    def visible_to(self, viewer: Viewer) -> Self:
        """Keep what the viewer manages: a customer those of its account, staff and auditors all, others none."""
        rows = self.of_organization(viewer.organization_id)
        if viewer.role == "customer":
            return rows.filter(customer_id=viewer.customer_id) if viewer.customer_id else rows.none()
        return rows if viewer.role in {"admin", "dispatcher", "auditor", "superuser", "system"} else rows.none()
