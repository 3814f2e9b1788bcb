"""The default columns of the shipments' report as the peers write them: formulas are not escaped."""

from typing import Any

COLUMNS = (
    "ID", "Reference", "Origin", "Destination", "Status", "Driver ID", "Driver Name", "Driver Phone", "Created At",
    "Updated At", "Customer", "ETA", "Delivered At", "Pieces", "Weight kg", "Planned Pickup At",
    "Planned Delivery At",
)  # fmt: skip
SQL = """
SELECT shipment.id AS "ID", reference AS "Reference",
  origin.name || ' (' || coalesce(origin.locode, origin.country) || ')' AS "Origin",
  destination.name || ' (' || coalesce(destination.locode, destination.country) || ')' AS "Destination",
  shipment.status AS "Status", driver_id AS "Driver ID", driver.name AS "Driver Name",
  driver.phone AS "Driver Phone",
  shipment.created_at AS "Created At", shipment.updated_at AS "Updated At", customer.name AS "Customer",
  eta AS "ETA", delivered_at AS "Delivered At", pieces AS "Pieces", weight_kg AS "Weight kg",
  planned_pickup_at AS "Planned Pickup At", planned_delivery_at AS "Planned Delivery At"
FROM shipments_shipment shipment
JOIN shipments_location origin ON origin.id = origin_id
JOIN shipments_location destination ON destination.id = destination_id
LEFT JOIN shipments_driver driver ON driver.id = driver_id
LEFT JOIN shipments_customer customer ON customer.id = customer_id
WHERE shipment.organization_id = (SELECT id FROM shipments_organization WHERE slug = 'demo')
  AND shipment.deleted_at IS NULL
ORDER BY shipment.created_at DESC, shipment.id DESC
"""


def cells(shipment: Any) -> list[Any]:
    """Return one row."""
    driver, customer = shipment.driver, shipment.customer
    return [
        shipment.id, shipment.reference, _place(shipment.origin), _place(shipment.destination), shipment.status,
        driver and driver.id, driver and driver.name, driver and driver.phone, _instant(shipment.created_at),
        _instant(shipment.updated_at), customer and customer.name, _instant(shipment.eta),
        _instant(shipment.delivered_at), shipment.pieces, shipment.weight_kg, _instant(shipment.planned_pickup_at),
        _instant(shipment.planned_delivery_at),
    ]  # fmt: skip


def _place(place: Any) -> str:
    return f"{place.name} ({place.locode or place.country})"


def _instant(at: Any) -> str:
    return at.isoformat() if at else ""
