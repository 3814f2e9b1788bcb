"""Bodies of requests about drivers, their positions and their device keys; values come out by column name."""

# ruff: noqa: N815  the names are those on the wire

from shipments.api.http.fields import Choice, Instant, Number, StrictSerializer, Text
from shipments.models import Driver
from shipments.services.fleet import plausibility


class DriverAmendment(StrictSerializer):
    """Changes of a driver; a field that is left out stays as it is."""

    name = Text(required=False, max_length=120)
    phone = Text(required=False, allow_blank=True, max_length=32)
    status = Choice(choices=Driver.Status.choices, required=False)
    licenseNumber = Text(source="license_number", required=False, allow_blank=True, max_length=40)
    vehicle = Text(required=False, allow_blank=True, max_length=80)


class DriverEnrolment(DriverAmendment):
    """A new driver."""

    name = Text(max_length=120)


class LocationReport(StrictSerializer):
    """A position: WGS 84 degrees; accuracy in metres, speed in m/s, bearing in degrees from north."""

    latitude = Number(min_value=-90, max_value=90)
    longitude = Number(min_value=-180, max_value=180)
    accuracy = Number(required=False, allow_null=True, min_value=0, max_value=plausibility.MAX_ACCURACY_METRES)
    speed = Number(required=False, allow_null=True, min_value=0, max_value=plausibility.MAX_METRES_PER_SECOND)
    bearing = Number(required=False, allow_null=True, min_value=0, max_value=plausibility.MAX_BEARING_DEGREES)
    recordedAt = Instant(source="recorded_at", required=False, allow_null=True)


class DeviceKeyOrder(StrictSerializer):
    """A new device key."""

    name = Text(max_length=80, help_text="Which phone it is for.")
