"""Whether a shipment has what a file gives it: files are often exports, which hold less than the database."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from shipments.domain import names, other_references
from shipments.models import Customer, Driver, Location, Shipment
from shipments.parsing import invisible_characters
from shipments.services.shipments.places import Place

# Fields as the API names them, and the columns that they change.
COLUMNS: Final[Mapping[str, str]] = {
    "pieces": "pieces",
    "weightKg": "weight_kg",
    "volumeM3": "volume_m3",
    "plannedPickupAt": "planned_pickup_at",
    "plannedDeliveryAt": "planned_delivery_at",
    "eta": "eta",
    "notes": "notes",
}
_PARTIES: Final = {"customer": "customer", "driverName": "driver"}
# Files hold times to the millisecond: a smaller difference is none.
_SAME_INSTANT: Final = timedelta(milliseconds=1)


def changed_references(shipment: Shipment, cells: Mapping[str, str]) -> dict[str, Any]:
    """Return the references of a row that differ from those of the shipment; the others are merged."""
    return {
        name: other_references.from_lines(cell)
        for name, cell in cells.items()
        if not is_same_value(other_references.to_lines(shipment.references.get(name, [])), cell)
    }


def is_stored(name: str, values: Mapping[str, Any], shipment: Shipment | None) -> bool:
    """Tell whether a shipment has the text that a row gives this field."""
    if shipment is None or name == "reference":
        return shipment is not None
    if name in values.get("references", {}):
        stored = other_references.to_lines(shipment.references.get(name, []))
        return is_same_value(stored, values["references"][name])
    if name in _PARTIES:
        return is_named(getattr(shipment, _PARTIES[name]), values.get(name))
    return is_same_value(getattr(shipment, COLUMNS[name]), values.get(name))


def is_same_value(current: Any, given: Any) -> bool:
    """Tell whether a value is the one that a file gives."""
    if isinstance(current, datetime) and isinstance(given, datetime):
        return abs(current - given) < _SAME_INSTANT
    if isinstance(current, str) and isinstance(given, str):
        return _comparable(current) == _comparable(given)
    return current is given or bool(current == given)


def _comparable(text: str) -> str:
    """Return a text as files hold it."""
    return invisible_characters.trim(text.replace("\r\n", "\n"))


def is_place(current: Location, given: str | Place) -> bool:
    """Tell whether a place is the one that a file names: files hold no coordinates."""
    if isinstance(given, str):
        return current.locode == given
    is_same_name = names.comparison_key(current.name) == names.comparison_key(given.name)
    return current.locode == given.locode and is_same_name and current.country == given.country


def is_named(party: Customer | Driver | None, name: str | None) -> bool:
    """Tell whether a party is the one that a file names, or the file names none."""
    return name is None or (
        party is not None
        and names.comparison_key(invisible_characters.trim(party.name)) == names.comparison_key(name)
    )


def api_name(column: str) -> str:
    """Return the name of a changed column in the API."""
    names = {other: name for name, other in COLUMNS.items()} | {
        "customer_id": "customerId", "driver_id": "driverId",
    }  # fmt: skip
    return names.get(column, column)
