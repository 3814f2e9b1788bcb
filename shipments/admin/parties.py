"""Drivers, customers and places in the admin."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db import models
from django.db.models import Q
from django.http import HttpRequest

from monitoring import clock
from shipments.admin.service_admin import (
    RecordAdmin,
    ServiceAdmin,
    acting_subject,
    is_superuser,
    organization_id_of,
)
from shipments.models import Customer, Driver, Location
from shipments.services.accounts import customers
from shipments.services.fleet import drivers


class _PartyAdmin(ServiceAdmin):
    """A party of one organisation; its organisation is set on creation and fixed from then on."""

    write_permission = "shipments:write"
    list_select_related = ("organization",)
    search_fields: ClassVar[tuple[str, ...]] = ("name",)
    ordering = ("name", "id")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Add the organisation where a superuser, who may act in any, creates a row."""
        asks_organization = obj is None and is_superuser(request)
        return ("organization", *self.fields) if asks_organization and self.fields else self.fields

    def organization_of(self, request: HttpRequest, obj: Any) -> Any:
        """Return the organisation that was chosen, else the operator's own."""
        return obj.organization_id or organization_id_of(request.user)


@admin.register(Driver)
class DriverAdmin(_PartyAdmin):
    """Drivers."""

    list_display = ("name", "status", "phone", "vehicle", "organization")
    list_filter = ("status",)
    search_fields = ("name", "^phone", "^license_number")
    fields = ("name", "phone", "status", "license_number", "vehicle")
    actions = ("dismiss",)

    def save_model(self, request: HttpRequest, obj: Driver, form: Any, change: bool) -> None:  # noqa: FBT001  Django's signature
        """Create or amend the driver through the service."""
        by = acting_subject(request, self.organization_of(request, obj))
        changed = {name: form.cleaned_data[name] for name in form.changed_data if name != "organization"}
        if change:
            drivers.amend(by=by, now=clock.now(), driver_id=obj.pk, changes=changed)
        else:
            obj.__dict__.update(drivers.create(by=by, now=clock.now(), **changed).__dict__)

    @admin.action(description="Dismiss the chosen drivers")
    def dismiss(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Remove drivers that nothing refers to; set the others inactive."""
        at = clock.now()
        self.apply_to_each(
            request,
            queryset,
            lambda row: drivers.remove_or_deactivate(
                by=acting_subject(request, row.organization_id), now=at, driver_id=row.pk
            ),
            "dismissed",
        )


@admin.register(Customer)
class CustomerAdmin(_PartyAdmin):
    """Customer accounts."""

    list_display = ("name", "email", "phone", "organization", "created_at")
    search_fields = ("name", "^email")
    fields = ("name", "email", "phone")
    actions = ("close",)

    def save_model(self, request: HttpRequest, obj: Customer, form: Any, change: bool) -> None:  # noqa: FBT001  Django's signature
        """Create or amend the customer through the service."""
        by = acting_subject(request, self.organization_of(request, obj))
        changed = {name: form.cleaned_data[name] for name in form.changed_data if name != "organization"}
        if change:
            customers.amend(by=by, now=clock.now(), customer_id=obj.pk, changes=changed)
        else:
            obj.__dict__.update(customers.create(by=by, now=clock.now(), **changed).__dict__)

    @admin.action(description="Close the chosen accounts")
    def close(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        """Remove customers that nothing refers to."""
        at = clock.now()
        self.apply_to_each(
            request,
            queryset,
            lambda row: customers.remove(
                by=acting_subject(request, row.organization_id), now=at, customer_id=row.pk
            ),
            "closed",
        )


@admin.register(Location)
class LocationAdmin(RecordAdmin):
    """Places; they are created with the shipments that name them."""

    list_display = ("name", "locode", "country", "latitude", "longitude")
    search_fields = ("^locode", "^name")
    ordering = ("name", "id")

    def rows_of_organization(self, rows: models.QuerySet[Any], subject: Any) -> models.QuerySet[Any]:
        """Keep the shared places and those of the organisation."""
        return rows.filter(Q(organization=None) | Q(organization_id=subject.organization_id))
