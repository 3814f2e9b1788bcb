"""Resolve the customers, drivers and places that the rows of a file name, with one query for each kind."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Q, Value
from django.db.models.lookups import Exact

from shipments.auth.subjects import Subject
from shipments.domain import locodes, names
from shipments.models import Customer, Driver, Location
from shipments.querysets import NameKey
from shipments.services.shipments.places import Place, resolve_place
from shipments.services.validation import InvalidArgument


@dataclass(slots=True)
class ReferenceResolver:
    """The parties of the organisation and the places that the rows name."""

    by: Subject
    dry_run: bool
    customers: Mapping[object, list[uuid.UUID]]
    drivers: Mapping[object, list[uuid.UUID]]
    places: dict[str | Place, Location]

    @classmethod
    def load(cls, values: Sequence[Mapping[str, Any]], by: Subject, *, dry_run: bool) -> "ReferenceResolver":
        """Load what the values of the rows name: three queries at most."""
        codes = {
            each[end] for each in values for end in ("origin", "destination") if isinstance(each.get(end), str)
        }
        shared = Location.objects.filter(organization=None, locode__in=codes)
        return cls(
            by=by,
            dry_run=dry_run,
            customers=_ids_by_key(Customer, values, "customerId", "customer", by),
            drivers=_ids_by_key(Driver, values, "driverId", "driverName", by),
            places={place.locode: place for place in shared if place.locode},
        )

    def customer(self, values: Mapping[str, Any]) -> uuid.UUID | None:
        """Return the id of the customer that a row names, None where it names none. Raises InvalidArgument."""
        return _resolve_party(self.customers, values, "customerId", "customer", "customer")

    def driver(self, values: Mapping[str, Any]) -> uuid.UUID | None:
        """Return the id of the driver that a row names, None where it names none. Raises InvalidArgument."""
        return _resolve_party(self.drivers, values, "driverId", "driverName", "driver")

    def place(self, end: str, place_given: str | Place) -> Location:
        """Return the place that a row names; in a dry run a new one is not stored. Raises InvalidArgument."""
        if place_given not in self.places:
            if isinstance(place_given, str) and locodes.find(place_given) is None:
                raise InvalidArgument(end, f"There is no UN/LOCODE {place_given}.", code="unknown_place")
            self.places[place_given] = self._place(place_given)
        return self.places[place_given]

    def _place(self, place_given: str | Place) -> Location:
        if isinstance(place_given, Place) and not place_given.is_listed:
            own = Location.objects.filter(
                organization_id=self.by.organization_id,
                locode=place_given.locode,
                country=place_given.country,
            ).filter(Exact(NameKey(F("name")), NameKey(Value(place_given.name))))
            # A place of the organisation may have coordinates, which no file holds.
            if len(alike := list(own[:2])) == 1:
                return alike[0]
        return Location() if self.dry_run else resolve_place(place_given, organization_id=self.by.organization_id)


def _ids_by_key(
    model: Any, values: Iterable[Mapping[str, Any]], by_id: str, by_name: str, by: Subject
) -> dict[object, list[uuid.UUID]]:
    """Return the ids of the named parties, by id and by name without regard to case."""
    ids = {each[by_id] for each in values if by_id in each}
    named = {each[by_name] for each in values if by_name in each and by_id not in each}
    ids_by_key: dict[object, list[uuid.UUID]] = {}
    if not (ids or named):
        return ids_by_key
    alike = Q(name__in=named) | Q(key__in=[NameKey(Value(name)) for name in named])
    parties = (
        model.objects.of_organization(by.organization_id).alias(key=NameKey("name")).filter(Q(pk__in=ids) | alike)
    )
    for key, name in parties.values_list("pk", "name"):
        ids_by_key[key] = [key]
        ids_by_key.setdefault(names.comparison_key(name), []).append(key)
    return ids_by_key


def _resolve_party(
    ids_by_key: Mapping[object, list[uuid.UUID]], values: Mapping[str, Any], by_id: str, by_name: str, party: str
) -> uuid.UUID | None:
    if by_id in values:
        field, key = by_id, values[by_id]
    elif by_name in values:
        field, key = by_name, names.comparison_key(values[by_name])
    else:
        return None
    keys = ids_by_key.get(key, [])
    if not keys:
        raise InvalidArgument(field, f"There is no such {party}.", code=f"unknown_{party}")
    if len(keys) > 1:
        raise InvalidArgument(
            field, f"Several {party}s are called so; give the {party}'s ID.", code=f"ambiguous_{party}"
        )
    return keys[0]
