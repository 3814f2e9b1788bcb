"""What a write is told about values that are taken, and hardly right."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from shipments.domain import locodes
from shipments.services.shipments.places import Place

Doubt = dict[str, str]
_PLACES: Final = ("origin", "destination", "location")


def warnings_of(values: Mapping[str, Any]) -> list[Doubt]:
    """Return `{field, code, message}` for each doubtful value among those of a write, by the API's names."""
    return [warning for field in _PLACES for warning in _warnings_of_place(field, values.get(field))]


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
