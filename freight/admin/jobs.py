"""Exports, imports and runs in the admin, read only: jobs are ordered, cancelled and downloaded by their owners."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest

from exports.models import Export, Import, Run
from shipments.admin.service_admin import RecordAdmin
from shipments.models import Organization, User


class _JobAdmin(RecordAdmin):
    """Background jobs, newest first, with the name of their organisation and the address of their owner."""

    read_permission = "audit:read"
    list_filter: ClassVar[tuple[str, ...]] = ("state",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Add what the ids stand for: jobs refer to accounts without a foreign key."""
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(
                organization_name=_name_of(Organization, "name", "organization_id"),
                owner_email=_name_of(User, "email", "owner_id"),
            )
        )
        return rows

    @admin.display(description="organisation")
    def organization(self, obj: Any) -> str:
        """Return the name of the job's organisation."""
        return obj.organization_name or str(obj.organization_id)

    @admin.display(description="owner")
    def owner(self, obj: Any) -> str:
        """Return the e-mail address of the job's owner, its id where the account is gone."""
        return obj.owner_email or str(obj.owner_id)


@admin.register(Export)
class ExportAdmin(_JobAdmin):
    """Background exports and their filters."""

    list_display = (
        "created_at", "report", "format", "state", "done", "total", "size", "owner", "organization", "error",
    )  # fmt: skip


@admin.register(Import)
class ImportAdmin(_JobAdmin):
    """Imported files and what became of their rows."""

    list_display = (
        "created_at", "filename", "state", "created", "updated", "unchanged", "failed", "owner", "organization",
        "error",
    )  # fmt: skip


@admin.register(Run)
class RunAdmin(RecordAdmin):
    """Reports and documents that were made, kept for thirty days; the audit tells who had them."""

    read_permission = "audit:read"
    list_display = ("started_at", "report", "format", "outcome", "rows", "bytes", "cached", "ended_at")
    list_filter = ("outcome", "format")
    ordering = ("-started_at",)


def _name_of(model: type[Any], column: str, key: str) -> Subquery:
    return Subquery(model.objects.filter(pk=OuterRef(key)).values(column)[:1])
