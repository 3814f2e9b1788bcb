"""Bodies of bulk changes: the items of each operation."""

import re
from typing import Any, Final

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers as fields

from shipments.api.http.fields import Choice, StrictSerializer, Text
from shipments.api.shipments import serializers
from shipments.domain.versions import Version

MAX_ITEMS: Final = 1000
_TAG: Final = re.compile(r'\*|(?:W/)?"(?P<tag>[^"]*)"')


@extend_schema_field({"type": "string", "examples": ['"4.0f3a"', "*"]})
class VersionField(fields.Field[Any, Any, Any, Any]):
    """An ETag, of which only the version counts, or `*`."""

    default_error_messages = {"invalid": 'Give an ETag such as "4.0f3a", quotes included, or *.'}

    def to_internal_value(self, data: object) -> Version | None:
        """Return the expected version, None for `*`."""
        match = _TAG.fullmatch(data) if isinstance(data, str) else None
        if match is not None and match["tag"] is None:
            return None
        version = Version.parse(match["tag"]) if match else None
        if version is None:
            self.fail("invalid")
        return version


class BulkCreation(serializers.ShipmentBooking):
    """A shipment to book."""

    op = Choice(choices=["create"])


class _ExistingShipment(StrictSerializer):
    reference = Text(min_length=1, max_length=serializers.MAX_REFERENCE)
    ifMatch = VersionField(source="expected_version", required=False)  # noqa: N815  a name on the wire


class BulkAmendment(_ExistingShipment, serializers.ShipmentAmendment):
    """A shipment to amend."""

    op = Choice(choices=["update"])


class BulkTransition(_ExistingShipment, serializers.Transition):
    """A shipment to move to another state."""

    op = Choice(choices=["transition"])


class BulkObservation(_ExistingShipment, serializers.CheckpointReport):
    """An observation of a shipment to store and apply."""

    op = Choice(choices=["observe"])


class _Items(fields.Field[Any, Any, Any, Any]):
    default_error_messages = {"invalid": f"Give a list of 1 to {MAX_ITEMS:,} items."}

    def to_internal_value(self, data: object) -> list[Any]:
        """Return the list; its items are validated one by one later, each with a result of its own."""
        if not isinstance(data, list) or not 1 <= len(data) <= MAX_ITEMS:
            self.fail("invalid")
        return data


class BulkItems(StrictSerializer):
    """The items as they were sent, for their own serializers."""

    items = _Items()


class BulkBody(fields.Serializer[Any]):
    """The items, applied in this order."""

    items = fields.ListField(
        child=PolymorphicProxySerializer(
            component_name="BulkItem",
            serializers={
                "create": BulkCreation,
                "update": BulkAmendment,
                "transition": BulkTransition,
                "observe": BulkObservation,
            },
            resource_type_field_name="op",
        ),
        min_length=1,
        max_length=MAX_ITEMS,
    )
