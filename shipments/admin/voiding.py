"""VoidingAdmin: a page of records that may have been mistakes. Its action voids the chosen ones, for a reason."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db import models
from django.http import HttpRequest

from monitoring import clock
from shipments.admin.service_admin import RecordAdmin


class VoidForm(ActionForm):
    """The form of the list's actions, with the reason for voiding."""

    reason = forms.CharField(
        required=False,
        max_length=500,
        label="Reason",
        help_text="For staff: customers and tracking links do not see it.",
    )


class VoidingAdmin(RecordAdmin):
    """Records that stay, and can be taken out of the status."""

    write_permission = "shipments:write"
    action_form = VoidForm
    actions = ("void",)

    def void_row(self, request: HttpRequest, row: Any, *, at: datetime, reason: str) -> object:
        """Void one record through its service."""
        raise NotImplementedError

    @admin.action(description="Void the chosen, for the reason beside")
    def void(self, request: HttpRequest, queryset: "models.QuerySet[Any]") -> None:
        """Exclude what was chosen from the status, for good."""
        reason = request.POST.get("reason", "").strip().replace("\0", "")
        if not reason:
            self.message_user(request, "Say why: voiding needs a reason.", messages.ERROR)
            return
        at = clock.now()
        self.apply_to_each(
            request,
            queryset.select_related("shipment"),
            lambda row: self.void_row(request, row, at=at, reason=reason[:500]),
            "voided",
        )
