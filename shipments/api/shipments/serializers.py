"""Bodies of requests about a shipment; values come out by column name.

The class names are component names of the OpenAPI document (with `Request` behind them): they do not change.
"""

# ruff: noqa: N815  the names are those on the wire

import re
from typing import Any, Final

from rest_framework import serializers

from shipments.api.http.fields import (
    Amount,
    Choice,
    Count,
    Identifier,
    Instant,
    PlaceField,
    References,
    StrictSerializer,
    Text,
)
from shipments.domain import lifecycle, status_codes
from shipments.models import Checkpoint
from shipments.parsing.values import MAX_NOTES, MAX_PIECES, VOLUME_DIGITS, WEIGHT_DIGITS
from shipments.services.shipments import tracking_links

MAX_REFERENCE: Final = 64
_CODE_SYSTEM: Final = re.compile(r"[A-Za-z0-9._-]{1,32}", re.ASCII)


class ShipmentAmendment(StrictSerializer):
    """Changes of a shipment; a field that is left out stays as it is."""

    origin = PlaceField(required=False)
    destination = PlaceField(required=False)
    customerId = Identifier(source="customer_id", required=False, allow_null=True)
    driverId = Identifier(source="driver_id", required=False, allow_null=True)
    references = References(required=False)
    pieces = Count(required=False, allow_null=True, min_value=0, max_value=MAX_PIECES)
    weightKg = Amount(source="weight_kg", required=False, allow_null=True, max_digits=WEIGHT_DIGITS)
    volumeM3 = Amount(source="volume_m3", required=False, allow_null=True, max_digits=VOLUME_DIGITS)
    plannedPickupAt = Instant(source="planned_pickup_at", required=False, allow_null=True)
    plannedDeliveryAt = Instant(source="planned_delivery_at", required=False, allow_null=True)
    eta = Instant(required=False, allow_null=True)
    notes = Text(
        required=False, allow_blank=True, max_length=MAX_NOTES,
        help_text="For staff and drivers, also on the bill of lading that they print: customers and tracking links"
        " do not see it.",
    )  # fmt: skip


class ShipmentBooking(ShipmentAmendment):
    """A new shipment."""

    reference = Text(
        required=False,
        min_length=1,
        max_length=MAX_REFERENCE,
        help_text="Unique in the organisation, regardless of case; generated when left out.",
    )
    status = Choice(choices=lifecycle.INITIAL_STATES, required=False)
    origin = PlaceField()
    destination = PlaceField()


class Transition(StrictSerializer):
    """A command to move a shipment to another state."""

    to = Choice(choices=lifecycle.STATES)
    occurredAt = Instant(source="occurred_at", required=False, allow_null=True)
    location = PlaceField(required=False, allow_null=True)
    reason = Text(
        required=False, allow_blank=True, max_length=200,
        help_text="For staff, in the audit log: customers and tracking links do not see it.",
    )  # fmt: skip
    note = Text(
        required=False,
        allow_blank=True,
        max_length=500,
        help_text="Public: customers and tracking links see it, too.",
    )


class CodeSystem(Text):
    """The list that a code is of; lists that are not known here are stored, too."""

    default_error_messages = {"syntax": "Give 1 to 32 letters, digits, dots, dashes or underscores."}

    def __init__(self, **kwargs: Any) -> None:
        known = ", ".join(status_codes.CODE_SYSTEMS)
        super().__init__(
            max_length=32,
            help_text=f"{known}, or any other, whose codes are stored but not applied.",
            **kwargs,
        )

    def to_internal_value(self, data: Any) -> str:
        """Return the name, in lower case where it is a known one."""
        name = super().to_internal_value(data)
        if not _CODE_SYSTEM.fullmatch(name):
            self.fail("syntax")
        return name.lower() if name.lower() in status_codes.CODE_SYSTEMS else name


class CheckpointReport(StrictSerializer):
    """An observation: a status, a carrier's code or both; an estimate or plan with neither is about delivery."""

    classifier = Choice(choices=Checkpoint.Classifier.choices)
    occurredAt = Instant(source="occurred_at")
    status = Choice(source="state", choices=lifecycle.STATES, required=False)
    code = Text(
        required=False,
        max_length=64,
        help_text="The carrier's code, stored verbatim; a status beside it decides.",
    )
    codeSystem = CodeSystem(source="code_system", required=False)
    location = PlaceField(required=False, allow_null=True)
    note = Text(
        required=False,
        allow_blank=True,
        max_length=500,
        help_text="Public: customers and tracking links see it, too.",
    )
    source = Text(  # type: ignore[assignment]  # a name of the contract and of DRF
        max_length=64, help_text="Who reports; together with sourceEventId it identifies repeated reports."
    )
    sourceEventId = Text(source="source_event_id", required=False, max_length=128)
    supersedes = Identifier(required=False, help_text="The checkpoint that this one corrects; that one is voided.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a code without its system."""
        if bool(attrs.get("code")) != bool(attrs.get("code_system")):
            raise serializers.ValidationError({"codeSystem": "A code and its system go together."})
        return attrs


class Voiding(StrictSerializer):
    """Why a command or an observation is voided."""

    reason = Text(max_length=500, help_text="For staff: customers and tracking links do not see it.")


class FlagOpening(StrictSerializer):
    """An exception beside the status."""

    flag = Choice(choices=lifecycle.FLAGS)
    reason = Text(
        required=False, allow_blank=True, max_length=500,
        help_text="For staff: customers and tracking links do not see it.",
    )  # fmt: skip


class LinkOrder(StrictSerializer):
    """The lifetime of a link, 30 days by default."""

    expiresAt = Instant(source="expires_at", required=False, allow_null=True)
    days = Count(required=False, min_value=1, max_value=tracking_links.MAX_LIFETIME.days)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse two lifetimes at once."""
        if attrs.get("expires_at") and "days" in attrs:
            raise serializers.ValidationError({"days": "Give expiresAt or days, not both."})
        return attrs
