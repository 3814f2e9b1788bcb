"""The reports: columns, row source, filters, orderings and permissions. `formats` writes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shipments.auth.subjects import Subject
from shipments.parsing.query_parameters import Parameter
from shipments.selectors import audit, shipments
from shipments.selectors.lists import filters
from shipments.selectors.reports import cells, copy_reader
from shipments.selectors.reports.cells import Cell
from shipments.selectors.reports.copy_reader import CopyFormat, CopyReader


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its label, its SQL cell, and whether it is in the default selection."""

    label: str
    cell: Cell
    restricted: Cell | None = None  # what subjects of the variant "restricted" get in its place
    default: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """A table that a subject may export: permissions, columns by field name, queryset source and filters.

    `orderings` are `order_by` arguments by the name in the API, the default first.
    """

    name: str
    title: str
    permissions: tuple[str, ...]
    columns: Mapping[str, Column]
    source: Callable[[Subject], Any]
    filters: Callable[[Subject], Mapping[str, Parameter]]
    orderings: Mapping[str, tuple[str, ...]]

    def require(self, subject: Subject) -> None:
        """Raise Forbidden unless the subject has every permission of the report."""
        for permission in self.permissions:
            subject.require(permission)

    @property
    def default_fields(self) -> tuple[str, ...]:
        """The fields of a query without `fields`."""
        return tuple(name for name, column in self.columns.items() if column.default)

    def cells(self, subject: Subject, fields: tuple[str, ...]) -> dict[str, Cell]:
        """Return the cells of these fields, in the subject's variant."""
        columns = {name: self.columns[name] for name in fields}
        if subject.variant == "staff":
            return {name: column.cell for name, column in columns.items()}
        return {name: column.restricted or column.cell for name, column in columns.items()}

    def open(self, subject: Subject, queryset: Any, fields: tuple[str, ...], form: CopyFormat) -> CopyReader:
        """Open a snapshot and count the rows of the queryset; the caller closes it. Raises OperationalError."""
        return copy_reader.open_reader(queryset, self.cells(subject, fields), form)


_NEWEST_FIRST: Final = ("-created_at", "-id")
SHIPMENTS: Final = Report(
    name="shipments",
    title="Shipments",
    permissions=("exports:read",),
    columns={
        "id": Column("ID", cells.plain("id")),
        "reference": Column("Reference", cells.text("reference")),
        "origin": Column("Origin", cells.place("origin")),
        "destination": Column("Destination", cells.place("destination")),
        "status": Column("Status", cells.plain("status")),
        "driverId": Column("Driver ID", cells.plain("driver_id")),
        "driverName": Column("Driver Name", cells.text("driver__name")),
        "driverPhone": Column("Driver Phone", cells.text("driver__phone"), cells.empty()),
        "createdAt": Column("Created At", cells.instant("created_at")),
        "updatedAt": Column("Updated At", cells.instant("updated_at")),
        "customer": Column("Customer", cells.text("customer__name")),
        "eta": Column("ETA", cells.instant("eta")),
        "deliveredAt": Column("Delivered At", cells.instant("delivered_at")),
        "pieces": Column("Pieces", cells.plain("pieces")),
        "weightKg": Column("Weight kg", cells.amount("weight_kg")),
        "plannedPickupAt": Column("Planned Pickup At", cells.instant("planned_pickup_at")),
        "plannedDeliveryAt": Column("Planned Delivery At", cells.instant("planned_delivery_at")),
        "volumeM3": Column("Volume m3", cells.amount("volume_m3"), default=False),
        "customerId": Column("Customer ID", cells.plain("customer_id"), default=False),
        "seq": Column("Seq", cells.plain("seq"), default=False),
        "po": Column("PO", cells.json_member("references", "po"), default=False),
        "bol": Column("BOL", cells.json_member("references", "bol"), default=False),
        "pro": Column("PRO", cells.json_member("references", "pro"), default=False),
        "flags": Column("Flags", cells.json_document("flags"), cells.public_flags("flags"), default=False),
        "notes": Column("Notes", cells.text("notes"), cells.empty(), default=False),
    },
    source=shipments.visible_shipments,
    filters=filters.shipment_filters,
    orderings={
        "-createdAt": _NEWEST_FIRST,
        "createdAt": ("created_at", "id"),
        "-updatedAt": ("-updated_at", "-id"),
        "updatedAt": ("updated_at", "id"),
        "reference": ("reference", "id"),
    },
)
_PUBLIC_DATA: Final = cells.public_data("data", "type", "shipment__customer_id")
EVENTS: Final = Report(
    name="events",
    title="Events",
    permissions=("exports:read",),
    columns={
        "id": Column("ID", cells.plain("id")),
        "reference": Column("Reference", cells.text("shipment__reference")),
        "seq": Column("Seq", cells.plain("seq")),
        "type": Column("Type", cells.plain("type")),
        "status": Column("Status", cells.plain("status")),
        "occurredAt": Column("Occurred At", cells.instant("occurred_at")),
        "recordedAt": Column("Recorded At", cells.instant("recorded_at")),
        "location": Column("Location", cells.place("location")),
        "actorRole": Column("Actor Role", cells.plain("actor_role")),
        "actorId": Column("Actor ID", cells.plain("actor_id"), cells.empty()),
        "note": Column("Note", cells.json_member("data", "note"), cells.public_note("data", "type")),
        "data": Column("Data", cells.json_document("data"), _PUBLIC_DATA, default=False),
    },
    source=shipments.visible_events,
    filters=lambda subject: filters.EVENT_FILTERS,
    orderings={"-recordedAt": ("-recorded_at", "-id"), "recordedAt": ("recorded_at", "id")},
)
DELIVERIES: Final = Report(
    name="deliveries",
    title="Deliveries by driver",
    permissions=("exports:read",),
    columns={
        "driverId": Column("Driver ID", cells.plain("driver_id")),
        "driverName": Column("Driver Name", cells.text("driver__name")),
        "reference": Column("Reference", cells.text("reference")),
        "customer": Column("Customer", cells.text("customer__name")),
        "origin": Column("Origin", cells.place("origin")),
        "destination": Column("Destination", cells.place("destination")),
        "status": Column("Status", cells.plain("status")),
        "plannedDeliveryAt": Column("Planned Delivery At", cells.instant("planned_delivery_at")),
        "deliveredAt": Column("Delivered At", cells.instant("delivered_at")),
        "minutesLate": Column("Minutes Late", cells.minutes_between("planned_delivery_at", "delivered_at")),
        "pieces": Column("Pieces", cells.plain("pieces")),
        "weightKg": Column("Weight kg", cells.amount("weight_kg")),
    },
    source=shipments.delivered_shipments,
    filters=lambda subject: filters.DELIVERY_FILTERS,
    orderings={
        "driver": ("driver__name", "driver_id", "-delivered_at", "-id"),
        "-deliveredAt": ("-delivered_at", "-id"),
        "deliveredAt": ("delivered_at", "id"),
    },
)
AUDIT: Final = Report(
    name="audit",
    title="Audit log",
    permissions=("exports:read", "audit:read"),
    columns={
        "id": Column("ID", cells.plain("id")),
        "at": Column("At", cells.instant("at")),
        "actorRole": Column("Actor Role", cells.plain("actor_role")),
        "actorId": Column("Actor ID", cells.plain("actor_id")),
        "actorName": Column("Actor Name", cells.text("actor_name")),
        "action": Column("Action", cells.plain("action")),
        "entity": Column("Entity", cells.plain("entity")),
        "entityId": Column("Entity ID", cells.text("entity_id")),
        "outcome": Column("Outcome", cells.plain("outcome")),
        "address": Column("Address", cells.text("address", "host({0})")),
        "requestId": Column("Request ID", cells.text("request_id")),
        "before": Column("Before", cells.json_document("before")),
        "after": Column("After", cells.json_document("after")),
    },
    source=audit.audit_entries,
    filters=lambda subject: filters.AUDIT_FILTERS,
    orderings={"-at": ("-at", "-id"), "at": ("at", "id")},
)
REPORTS: Final[Mapping[str, Report]] = {each.name: each for each in (SHIPMENTS, EVENTS, DELIVERIES, AUDIT)}
