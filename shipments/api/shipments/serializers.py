"""What the API takes: the bodies of requests, by column of what they change."""

from typing import Final

from rest_framework import serializers

from shipments.api.http.fields import (
    Amount,
    Count,
    Identifier,
    Instant,
    PlaceField,
    References,
    StrictSerializer,
    Text,
)
from shipments.domain import lifecycle
from shipments.models import Driver
from shipments.parsing.values import MAX_NOTES, MAX_PIECES, VOLUME_DIGITS, WEIGHT_DIGITS

MAX_REFERENCE: Final = 64


class Choice(serializers.ChoiceField):
    """One of some words."""

    def to_internal_value(self, data: object) -> str:
        """Return the word; a number that reads like one is none."""
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data if isinstance(data, int | float) else "this")
        return str(super().to_internal_value(data))


class ShipmentAmendment(StrictSerializer):
    """What may be changed of a shipment; what is left out stays."""

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
    notes = Text(required=False, allow_blank=True, max_length=MAX_NOTES)


class ShipmentBooking(ShipmentAmendment):
    """A new shipment."""

    reference = Text(
        required=False,
        min_length=1,
        max_length=MAX_REFERENCE,
        help_text="Unique in the organisation whatever its case; made when left out.",
    )
    status = Choice(choices=lifecycle.INITIAL_STATES, required=False)
    origin = PlaceField()
    destination = PlaceField()


class Transition(StrictSerializer):
    """A command to move a shipment to another state."""

    to = Choice(choices=lifecycle.STATES)
    occurredAt = Instant(source="occurred_at", required=False, allow_null=True)
    location = PlaceField(required=False, allow_null=True)
    reason = Text(required=False, allow_blank=True, max_length=200, help_text="Goes into the audit trail.")
    note = Text(
        required=False, allow_blank=True, max_length=500, help_text="Everybody who sees the shipment sees it."
    )


class DriverAmendment(StrictSerializer):
    """What may be changed of a driver; what is left out stays."""

    name = Text(required=False, max_length=120)
    phone = Text(required=False, allow_blank=True, max_length=32)
    status = Choice(choices=Driver.Status.choices, required=False)
    licenseNumber = Text(source="license_number", required=False, allow_blank=True, max_length=40)
    vehicle = Text(required=False, allow_blank=True, max_length=80)


class DriverEnrolment(DriverAmendment):
    """A new driver."""

    name = Text(max_length=120)


class Email(serializers.EmailField):
    """An e-mail address."""

    def to_internal_value(self, data: object) -> str:
        """Return the address."""
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class CustomerAmendment(StrictSerializer):
    """What may be changed of a customer account; what is left out stays."""

    name = Text(required=False, max_length=120)
    email = Email(required=False, allow_blank=True, max_length=254)
    phone = Text(required=False, allow_blank=True, max_length=32)


class CustomerOpening(CustomerAmendment):
    """A new customer account."""

    name = Text(max_length=120)
