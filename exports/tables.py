"""The reports: which columns, from which rows, for whom. How they are written is the formats' matter."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from shipments.access import Subject
from shipments.selectors import cells, rows
from shipments.selectors.cells import Cell
from shipments.selectors.rows import Narrowing, Reading


@dataclass(frozen=True, slots=True)
class Report:
    """One table: its name, the permission it needs, its cells by label, and where its rows come from."""

    name: str
    permission: str
    columns: Mapping[str, Cell]
    source: Callable[[Subject, Narrowing, list[Cell]], Awaitable[Reading]]
    # Labels whose cells stay empty for the restricted variant.
    guarded: frozenset[str] = frozenset()

    async def open(self, subject: Subject, narrowing: Narrowing) -> Reading:
        """This will open the report as the subject may see it; raises OperationalError."""
        hides = self.guarded if subject.variant == "restricted" else frozenset[str]()
        shown = [cells.hidden() if label in hides else cell for label, cell in self.columns.items()]
        return await self.source(subject, narrowing, shown)


SHIPMENTS: Final = Report(
    name="shipments",
    permission="exports:read",
    columns={
        "ID": cells.plain("id"),
        "Reference": cells.text("reference"),
        "Origin": cells.place("origin"),
        "Destination": cells.place("destination"),
        "Status": cells.plain("status"),
        "Driver ID": cells.plain("driver_id"),
        "Driver Name": cells.text("driver__name"),
        "Driver Phone": cells.text("driver__phone"),
        "Created At": cells.instant("created_at"),
        "Updated At": cells.instant("updated_at"),
        "Customer": cells.text("customer__name"),
        "ETA": cells.instant("eta"),
        "Delivered At": cells.instant("delivered_at"),
        "Pieces": cells.plain("pieces"),
        "Weight kg": cells.amount("weight_kg"),
        "Planned Pickup At": cells.instant("planned_pickup_at"),
        "Planned Delivery At": cells.instant("planned_delivery_at"),
    },
    source=rows.shipments,
    guarded=frozenset({"Driver Phone"}),
)
