"""Parts of the API's paths."""

import uuid
from typing import Any

from django.urls import register_converter
from django.urls.converters import StringConverter

from shipments.domain.identifiers import REFERENCE_PATTERN


class ReferenceConverter(StringConverter):
    """A shipment's reference."""

    regex = REFERENCE_PATTERN.pattern


class IdConverter:
    """A UUID in its usual form, also in capitals (RFC 9562, section 4), which Django's own converter refuses."""

    regex = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"

    def to_python(self, value: str) -> uuid.UUID:
        """Return the id."""
        return uuid.UUID(value)

    def to_url(self, value: Any) -> str:
        """Return the id as Freight writes it."""
        return str(value)


register_converter(ReferenceConverter, "reference")
register_converter(IdConverter, "id")
