"""Places: a UN/LOCODE becomes a shared row on first use, anything else a row of the organisation's own."""

import uuid
from dataclasses import dataclass

from shipments.domain import locodes
from shipments.models import Location


class UnknownPlace(Exception):
    """No UN/LOCODE is called so."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place given by name; degrees are decimal, WGS 84."""

    name: str
    country: str
    latitude: float | None = None
    longitude: float | None = None


def resolve_place(place: str | Place | Location, *, organization_id: uuid.UUID) -> Location:
    """Return the stored place for a UN/LOCODE such as `NLRTM`, or for a place of one's own.

    One that has been resolved already, for many shipments at once, is taken as it is.
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
    code = place.upper()
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
