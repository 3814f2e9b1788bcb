"""Places: a UN/LOCODE is stored once for all organisations on first use, any other place per organisation."""

import uuid
from dataclasses import dataclass

from shipments.domain import locodes
from shipments.models import Location


class UnknownPlace(Exception):
    """There is no such UN/LOCODE."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place given by name; degrees are decimal, WGS 84."""

    name: str
    country: str
    latitude: float | None = None
    longitude: float | None = None


def resolve_place(place: str | Place | Location, *, organization_id: uuid.UUID) -> Location:
    """Return the stored place for a UN/LOCODE such as `NLRTM`, or for a place of the organisation.

    A Location, resolved earlier for many shipments at once, is returned as it is.
    Raises UnknownPlace for a code that the UN/LOCODE list does not hold.
    """
    if isinstance(place, Location):
        return place
    if isinstance(place, Place):
        own, _ = Location.objects.get_or_create(
            organization_id=organization_id,
            locode=None,
            name=place.name,
            country=place.country,
            latitude=place.latitude,
            longitude=place.longitude,
        )
        return own
    code = locodes.normalize(place)
    shared = Location.objects.filter(locode=code).first()
    if shared:
        return shared
    entry = locodes.find(code)
    if entry is None:
        raise UnknownPlace(f"There is no UN/LOCODE {place!r}.")
    created, _ = Location.objects.get_or_create(
        locode=code,
        defaults={
            "name": entry.name,
            "country": entry.country,
            "latitude": entry.latitude,
            "longitude": entry.longitude,
        },
    )
    return created
