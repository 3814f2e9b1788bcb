"""What is reached from a shipment's page: its observations, proofs of delivery and tracking links."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db import models
from django.http import HttpRequest

from monitoring import clock
from shipments import services
from shipments.admin.service_admin import RecordAdmin, acting_subject
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


class VoidForm(ActionForm):
    """The form of the list's actions, with the reason for voiding."""

    reason = forms.CharField(required=False, max_length=500, label="Reason")


@admin.register(Checkpoint)
class CheckpointAdmin(_OfShipmentAdmin):
    """Observations: never changed, but voided with a reason; the status is then folded again."""

    write_permission = "shipments:write"
    action_form = VoidForm
    list_display = (
        "occurred_at", "classifier", "state", "code", "source", "outcome", "recorded_at", "voided_at",
        "void_reason",
    )  # fmt: skip
    actions = ("void",)

    @admin.action(description="Void the chosen observations, for the reason beside")
    def void(self, request: HttpRequest, queryset: Rows) -> None:
        """Exclude observations from the status, for good."""
        reason = request.POST.get("reason", "").strip().replace("\0", "")
        if not reason:
            self.message_user(request, "Say why: voiding needs a reason.", messages.ERROR)
            return
        at = clock.now()
        self.apply_to_each(
            request,
            queryset.select_related("shipment"),
            lambda row: services.void_checkpoint(
                by=acting_subject(request, row.shipment.organization_id),
                now=at,
                reference=row.shipment.reference,
                checkpoint_id=row.pk,
                reason=reason[:500],
            ),
            "voided",
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
