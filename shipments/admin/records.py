"""Append-only records in the admin: the event log and the audit trail."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from shipments import services
from shipments.admin.service_admin import RecordAdmin, acting_subject, is_superuser
from shipments.admin.voiding import VoidingAdmin
from shipments.models import AuditEntry, ShipmentEvent


@admin.register(ShipmentEvent)
class ShipmentEventAdmin(VoidingAdmin):
    """The log, newest first (keys are UUIDv7: their order is time); commands and observations can be voided."""

    list_display = ("shipment", "seq", "type", "status", "occurred_at", "recorded_at", "actor_role")
    list_filter = ("type", "recorded_at")
    list_select_related = ("shipment",)
    search_fields = ("=shipment__reference",)
    search_help_text = "A shipment's reference"

    def void_row(self, request: HttpRequest, row: ShipmentEvent, *, at: datetime, reason: str) -> object:
        """Exclude one command or observation from the status; every other event is refused."""
        if row.shipment is None:
            raise services.NotVoidable(row)
        return services.void_event(
            by=acting_subject(request, row.organization_id),
            now=at,
            reference=row.shipment.reference,
            seq=row.seq,
            reason=reason,
        )


@admin.register(AuditEntry)
class AuditEntryAdmin(RecordAdmin):
    """The audit trail, newest first."""

    read_permission = "audit:read"
    list_display = ("at", "actor_name", "actor_role", "action", "entity", "entity_id", "outcome", "address")
    list_filter = ("action", "outcome", "at")
    search_fields = ("=entity_id", "=actor_name", "=request_id")
    search_help_text = "An entity's id or reference, an actor's name, or a request's id"

    def get_ordering(self, request: HttpRequest) -> Any:
        """Order by the index that serves the operator's rows."""
        return ("-pk",) if is_superuser(request) else ("-at", "-id")
