"""What a write is told about values that are taken, and hardly right."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from shipments.domain import check_digits, locodes, other_references
from shipments.services.shipments.places import Place

Doubt = dict[str, str]
_PLACES: Final = ("origin", "destination", "location")


def warnings_of(values: Mapping[str, Any]) -> list[Doubt]:
    """Return `{field, code, message}` for each doubtful value among those of a write, by the API's names."""
    of_places = [warning for field in _PLACES for warning in _warnings_of_place(field, values.get(field))]
    return [*of_places, *_warnings_of_references(values.get("references") or {})]


def _warnings_of_references(references: Mapping[str, other_references.Value | None]) -> Iterator[Doubt]:
    for name, value in references.items():
        for text in [] if value is None else other_references.to_lines(value).splitlines():
            if fault := check_digits.find_fault(name, text):
                yield {"field": f"references.{name}", "code": "check_digit", "message": fault}


def _warnings_of_place(field: str, place: object) -> Iterator[Doubt]:
    if not isinstance(place, Place) or not place.locode:
        return
    if locodes.find(place.locode) is None:
        yield {
            "field": field,
            "code": "unlisted_locode",
            "message": f"The UN/LOCODE list has no {place.locode}; the place is stored as described.",
        }
    if place.locode[:2] != place.country:
        yield {
            "field": field,
            "code": "other_country",
            "message": f"{place.locode} is a code of {place.locode[:2]}, and the place is in {place.country}.",
        }
