"""Strict serializer fields: a value must have the JSON type of the schema, nothing is converted."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from shipments.domain import locodes, names, other_references
from shipments.parsing import values
from shipments.parsing.values import InvalidValue
from shipments.services.shipments.places import Place

# The details of a place, with their greatest length.
_PLACE_DETAILS: Final = {"facility": 120, "street": 120, "city": 80, "state": 40, "postcode": 16}
_PLACE_FIELDS: Final = {"locode", "name", "country", "latitude", "longitude", *_PLACE_DETAILS}
_PLACE_SCHEMA: Final[dict[str, Any]] = {
    "oneOf": [
        {"type": "string", "pattern": "^[A-Za-z]{2} ?[A-Za-z0-9]{3}$", "examples": ["NLRTM"]},
        {
            "type": "object",
            "properties": {
                "locode": {
                    "type": ["string", "null"],
                    "description": "What stands beside it is kept; alone it must be in the UN/LOCODE list.",
                },
                "name": {"type": ["string", "null"], "minLength": 1, "maxLength": 120},
                "country": {
                    "type": ["string", "null"],
                    "pattern": "^[A-Z]{2}$",
                    "description": "ISO 3166-1 alpha-2; may be left out beside a code.",
                },
                "latitude": {"type": ["number", "null"], "minimum": -90, "maximum": 90},
                "longitude": {"type": ["number", "null"], "minimum": -180, "maximum": 180},
                **{
                    name: {"type": ["string", "null"], "maxLength": length}
                    for name, length in _PLACE_DETAILS.items()
                },
            },
            "additionalProperties": False,
        },
    ]
}  # fmt: skip


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses unknown fields by name, so that no client sets an organisation or a `seq`."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Return the values by column; raises ValidationError."""
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, Mapping) else []
        errors: dict[str, Any] = {
            name[:64]: [serializers.ErrorDetail("This cannot be set.", code="unknown_field")]
            for name in unknown[:50]
        }
        try:
            validated: dict[str, Any] = super().to_internal_value(data)
        except serializers.ValidationError as error:
            field_errors: Any = error.detail
            errors |= field_errors
        if errors:
            raise serializers.ValidationError(errors)
        return validated


class Text(serializers.CharField):
    """A JSON string."""

    def to_internal_value(self, data: Any) -> str:
        """Return the text, stripped of white space."""
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class Name(Text):
    """The name of somebody or something, which is stored in one form (see `domain.names`)."""

    def to_internal_value(self, data: Any) -> str:
        """Return the name, composed and with single spaces."""
        return names.normalize(super().to_internal_value(data))


class Choice(serializers.ChoiceField):
    """One of a fixed set of strings."""

    def to_internal_value(self, data: object) -> str:
        """Return the choice; refuses numbers, also those that read like a choice."""
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data if isinstance(data, int | float) else "this")
        return str(super().to_internal_value(data))


class Email(serializers.EmailField):
    """An e-mail address."""

    def to_internal_value(self, data: object) -> str:
        """Return the address; refuses anything but a JSON string."""
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class Count(serializers.IntegerField):
    """A JSON integer."""

    def to_internal_value(self, data: Any) -> int:
        """Return the integer; refuses `5.0` and `"5"`."""
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return int(data)


class Number(serializers.FloatField):
    """A JSON number."""

    def to_internal_value(self, data: Any) -> float:
        """Return the number; refuses a string."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return float(super().to_internal_value(data))


@extend_schema_field({"type": "number", "minimum": 0})
class Amount(serializers.DecimalField):
    """A measured amount: a JSON number of at least 0 with at most three decimal places."""

    def __init__(self, *, max_digits: int, **kwargs: Any) -> None:
        super().__init__(max_digits=max_digits, decimal_places=3, min_value=0, **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        """Return a Decimal."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return super().to_internal_value(data)


@extend_schema_field({"type": "string", "format": "date-time"})
class Instant(serializers.Field[Any, Any, Any, Any]):
    """An RFC 3339 time with its offset."""

    default_error_messages = {"invalid": "{message}"}

    def to_internal_value(self, data: Any) -> Any:
        """Return the time in UTC."""
        return _parse(self, values.instant, data)


@extend_schema_field({"type": "string", "format": "uuid"})
class Identifier(serializers.Field[Any, Any, Any, Any]):
    """A UUID."""

    default_error_messages = {"invalid": "{message}"}

    def to_internal_value(self, data: Any) -> Any:
        """Return the UUID."""
        return _parse(self, values.identifier, data)


_REFERENCE_TEXT: Final[dict[str, Any]] = {
    "type": "string", "minLength": 1, "maxLength": other_references.MAX_LENGTH,
}  # fmt: skip


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {
            "oneOf": [
                _REFERENCE_TEXT,
                {
                    "type": "array",
                    "items": _REFERENCE_TEXT,
                    "minItems": 1,
                    "maxItems": other_references.MAX_VALUES,
                },
                {"type": "null"},
            ]
        },
        "maxProperties": other_references.MAX_NAMES,
        "propertyNames": {"pattern": f"^{other_references.NAME_PATTERN}$"},
        "description": "Merged into those that the shipment has (RFC 7396): a name that is left out stays, null"
        " removes one. A name may have several values.",
        "examples": [{"po": ["4500012345", "4500012346"], "bol": "MAEU123456789"}],
    }
)
class References(serializers.Field[Any, Any, Any, Any]):
    """References of other parties to the shipment by name: purchase order, bill of lading and the like."""

    default_error_messages = dict.fromkeys(("invalid", "too_many", "name", "value"), "{message}")

    def to_internal_value(self, data: Any) -> dict[str, other_references.Value | None]:
        """Return the change by name, its texts in their stored form."""
        try:
            return other_references.parse(data)
        except other_references.InvalidReferences as error:
            self.fail(error.code, message=str(error))


@extend_schema_field(_PLACE_SCHEMA)
class PlaceField(serializers.Field[Any, Any, Any, Any]):
    """A UN/LOCODE, or a place by name and country, with or without coordinates."""

    default_error_messages = {
        "invalid": "Give a UN/LOCODE such as NLRTM, or a place with name and country.",
        "unknown_place": "There is no UN/LOCODE {code}.",
        "unknown_field": "A place has locode, name, country, latitude, longitude, facility, street, city, state and"
        " postcode; not {name}.",
        "name": "A place needs a name of 1 to 120 characters.",
        "country": "A place needs its country as two capital letters (ISO 3166-1).",
        "detail": "{name} must be a text of at most {length} characters.",
        "degrees": "Latitude (-90 to 90) and longitude (-180 to 180) are numbers, both or none.",
    }

    def to_internal_value(self, data: Any) -> str | Place:
        """Return the UN/LOCODE of a known place, else the place as described."""
        if isinstance(data, str):
            return self._listed(self._locode(data))
        if not isinstance(data, dict):
            self.fail("invalid")
        if unknown := set(data) - _PLACE_FIELDS:
            self.fail("unknown_field", name=ascii(min(unknown)[:40]))
        given = {name: value for name, value in data.items() if value is not None}
        code = self._locode(given.pop("locode")) if "locode" in given else None
        if code and not given:
            return self._listed(code)
        entry = locodes.find(code) if code else None
        return self._described(given | {"name": given.get("name", entry.name if entry else None)}, code)

    def _described(self, given: dict[str, Any], code: str | None) -> Place:
        name, country = given["name"], given.get("country", code[:2] if code else None)
        name = names.normalize(name) if isinstance(name, str) else ""
        if not 1 <= len(name) <= 120:
            self.fail("name")
        if not isinstance(country, str) or not re.fullmatch("[A-Z]{2}", country):
            self.fail("country")
        latitude = self._degrees(given.get("latitude"), 90)
        longitude = self._degrees(given.get("longitude"), 180)
        if (latitude is None) != (longitude is None):
            self.fail("degrees")
        details = tuple((detail, text) for detail in _PLACE_DETAILS if (text := self._detail(detail, given)))
        return Place(name, country, latitude, longitude, code, details)

    def _detail(self, name: str, given: dict[str, Any]) -> str:
        text = given.get(name, "")
        stored = names.normalize(text) if isinstance(text, str) else None
        if stored is None or len(stored) > _PLACE_DETAILS[name]:
            self.fail("detail", name=name, length=_PLACE_DETAILS[name])
        return stored

    def _locode(self, text: Any) -> str:
        if not isinstance(text, str):
            self.fail("invalid")
        try:
            return values.locode(text)
        except InvalidValue:
            self.fail("invalid")

    def _listed(self, code: str) -> str:
        if locodes.find(code) is None:
            self.fail("unknown_place", code=code)
        return code

    def _degrees(self, value: Any, maximum: int) -> float | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not -maximum <= value <= maximum:
            self.fail("degrees")
        return float(value)


def _parse(field: serializers.Field[Any, Any, Any, Any], parse: Callable[[str], Any], data: Any) -> Any:
    if not isinstance(data, str):
        field.fail("invalid", message="Give a text.")
    try:
        return parse(data)
    except InvalidValue as error:
        field.fail("invalid", message=str(error))
