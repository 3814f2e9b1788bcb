"""What is reached from a shipment's page: its observations, proofs of delivery and tracking links."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest

from monitoring import clock
from shipments import services
from shipments.admin.service_admin import RecordAdmin, acting_subject
from shipments.admin.voiding import VoidingAdmin
from shipments.models import Checkpoint, ProofOfDelivery, TrackingLink
from shipments.services.shipments import tracking_links

if TYPE_CHECKING:
    Rows = models.QuerySet[Any]
else:
    Rows = models.QuerySet
# What the lists are filtered by, as Django writes it into the query string.
OF_SHIPMENT = "shipment__id__exact"


class _OfShipmentAdmin(RecordAdmin):
    """Rows of one shipment, whose page links here; a list of all would read the table, and is empty."""

    list_select_related = ("shipment",)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Return False: the index does not list the page."""
        return False

    def rows_of_organization(self, rows: Rows, subject: Any) -> Rows:
        """Keep the rows of the organisation's shipments."""
        return rows.filter(shipment__organization_id=subject.organization_id)

    def get_queryset(self, request: HttpRequest) -> Rows:
        """List nothing without a shipment."""
        rows = super().get_queryset(request)
        match = request.resolver_match
        is_list = match is not None and str(match.url_name).endswith("_changelist")
        return rows.none() if is_list and OF_SHIPMENT not in request.GET else rows


@admin.register(Checkpoint)
class CheckpointAdmin(_OfShipmentAdmin, VoidingAdmin):
    """Observations: never changed, but voided with a reason; the status is then folded again."""

    list_display = (
        "occurred_at", "classifier", "state", "code", "source", "outcome", "recorded_at", "voided_at",
        "void_reason",
    )  # fmt: skip

    def void_row(self, request: HttpRequest, row: Any, *, at: datetime, reason: str) -> object:
        """Exclude one observation from the status."""
        return services.void_checkpoint(
            by=acting_subject(request, row.shipment.organization_id),
            now=at,
            reference=row.shipment.reference,
            checkpoint_id=row.pk,
            reason=reason,
        )


@admin.register(ProofOfDelivery)
class ProofOfDeliveryAdmin(_OfShipmentAdmin):
    """Proofs of delivery; their pictures are in the document."""

    list_display = ("signer_name", "signed_at", "recorded_at", "actor_role", "supersedes", "note")


@admin.register(TrackingLink)
class TrackingLinkAdmin(RecordAdmin):
    """Tracking links: made by the API and the pages alone, where the token is shown once; revoked here too."""

    read_permission = "links:read"
    write_permission = "links:write"
    list_display = ("prefix", "shipment", "customer", "created_at", "expires_at", "revoked_at")
    list_select_related = ("shipment", "customer")
    search_fields = ("^prefix",)
    actions = ("revoke",)

    def rows_of_organization(self, rows: Rows, subject: Any) -> Rows:
        """Keep the links that the subject manages."""
        return rows.visible_to(subject)  # type: ignore[attr-defined,no-any-return]  # a method of LinkQuerySet

    @admin.action(description="Revoke the chosen links")
    def revoke(self, request: HttpRequest, queryset: Rows) -> None:
        """End links at once."""
        at = clock.now()
        self.apply_to_each(
            request,
            queryset.select_related("shipment"),
            lambda row: tracking_links.revoke(
                by=acting_subject(request, row.organization_id),
                now=at,
                reference=row.shipment.reference,
                link_id=row.pk,
            ),
            "revoked",
        )
