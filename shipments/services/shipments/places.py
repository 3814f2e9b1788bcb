"""Places: a bare UN/LOCODE is stored once for all organisations, what else is told of a place for its own."""

import json
import uuid
from dataclasses import dataclass

from shipments.domain import locodes, names
from shipments.models import Location


class UnknownPlace(Exception):
    """There is no such UN/LOCODE."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place given by name, with or without its UN/LOCODE; degrees are decimal, WGS 84.

    `details` are pairs of a name (facility, street, city, state, postcode) and its text.
    """

    name: str
    country: str
    latitude: float | None = None
    longitude: float | None = None
    locode: str | None = None
    details: tuple[tuple[str, str], ...] = ()

    @property
    def details_json(self) -> str:
        """The details as they are stored: a JSON object, empty for none."""
        return json.dumps(dict(sorted(self.details)), ensure_ascii=False) if self.details else ""

    @property
    def is_listed(self) -> bool:
        """Whether the UN/LOCODE list says all of this under the place's code."""
        entry = locodes.find(self.locode) if self.locode else None
        return (
            entry is not None
            and not self.details
            and (names.comparison_key(self.name), self.country) == (names.comparison_key(entry.name), entry.country)
            and (self.latitude, self.longitude) in {(None, None), (entry.latitude, entry.longitude)}
        )


def resolve_place(place: str | Place | Location, *, organization_id: uuid.UUID) -> Location:
    """Return the stored place for a UN/LOCODE such as `NLRTM`, or for a place of the organisation.

    A place that says no more than the list is that of all organisations. A Location, resolved earlier for many
    shipments at once, is returned as it is. Raises UnknownPlace for a bare code that the list does not hold.
    """
    if isinstance(place, Location):
        return place
    if isinstance(place, str):
        return _shared_place(place)
    if place.locode and place.is_listed:
        return _shared_place(place.locode)
    entry = locodes.find(place.locode) if place.locode else None
    position = (place.latitude, place.longitude)
    if entry is not None and position == (None, None):
        position = (entry.latitude, entry.longitude)
    own, _ = Location.objects.get_or_create(
        organization_id=organization_id,
        locode=place.locode,
        name=place.name,
        country=place.country,
        latitude=position[0],
        longitude=position[1],
        details=place.details_json,
    )
    return own


def _shared_place(text: str) -> Location:
    code = locodes.normalize(text)
    shared = Location.objects.filter(organization=None, locode=code).first()
    if shared:
        return shared
    entry = locodes.find(code)
    if entry is None:
        raise UnknownPlace(f"There is no UN/LOCODE {text!r}.")
    created, _ = Location.objects.get_or_create(
        organization=None,
        locode=code,
        defaults={
            "name": entry.name,
            "country": entry.country,
            "latitude": entry.latitude,
            "longitude": entry.longitude,
        },
    )
    return created
