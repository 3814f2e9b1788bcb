"""Bodies of requests about drivers, their positions and their device keys; values come out by column name."""

# ruff: noqa: N815  the names are those on the wire

from typing import Any, Final

from rest_framework import serializers

from shipments.api.http.fields import Choice, Identifier, Instant, Name, Number, StrictSerializer, Text
from shipments.models import Driver
from shipments.services.fleet import plausibility

MAX_POSITIONS: Final = 1000


class DriverAmendment(StrictSerializer):
    """Changes of a driver; a field that is left out stays as it is."""

    name = Name(required=False, max_length=120)
    phone = Text(required=False, allow_blank=True, max_length=32)
    status = Choice(choices=Driver.Status.choices, required=False)
    licenseNumber = Text(source="license_number", required=False, allow_blank=True, max_length=40)
    vehicle = Text(required=False, allow_blank=True, max_length=80)


class DriverEnrolment(DriverAmendment):
    """A new driver."""

    name = Name(max_length=120)


class LocationReport(StrictSerializer):
    """A position: WGS 84 degrees; accuracy in metres, speed in m/s, bearing in degrees from north."""

    latitude = Number(min_value=-90, max_value=90)
    longitude = Number(min_value=-180, max_value=180)
    accuracy = Number(required=False, allow_null=True, min_value=0, max_value=plausibility.MAX_ACCURACY_METRES)
    speed = Number(required=False, allow_null=True, min_value=0, max_value=plausibility.MAX_METRES_PER_SECOND)
    bearing = Number(required=False, allow_null=True, min_value=0, max_value=plausibility.MAX_BEARING_DEGREES)
    recordedAt = Instant(source="recorded_at", required=False, allow_null=True)


class PositionItem(LocationReport):
    """A position of a batch: of which driver, and when."""

    driverId = Identifier(source="driver_id", required=False, help_text="Required for API keys; else the caller.")
    recordedAt = Instant(source="recorded_at")


class PositionList(serializers.Field[Any, Any, Any, Any]):
    """The list of a batch; its items are validated one by one later, each with a result of its own."""

    default_error_messages = {"invalid": f"Give a list of 1 to {MAX_POSITIONS:,} positions."}

    def to_internal_value(self, data: object) -> list[Any]:
        """Return the list."""
        if not isinstance(data, list) or not 1 <= len(data) <= MAX_POSITIONS:
            self.fail("invalid")
        return data


class PositionBatch(StrictSerializer):
    """Several positions."""

    positions = PositionList()


class PositionBatchBody(serializers.Serializer[Any]):
    """Positions of one or more drivers, in any order."""

    positions = serializers.ListField(child=PositionItem(), min_length=1, max_length=MAX_POSITIONS)


class DeviceKeyOrder(StrictSerializer):
    """A new device key."""

    name = Text(max_length=80, help_text="Which phone it is for.")
