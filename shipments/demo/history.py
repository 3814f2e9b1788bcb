"""Generate the history of one demo shipment: the rows that the services would have written."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from shipments import representation
from shipments.demo import automatic_flags, names, plans
from shipments.demo.organization import DemoOrganization
from shipments.demo.plans import Plan
from shipments.domain import lifecycle

# The steps from `booked` to each state: [optional] ones are left out of short histories.
_STEPS_TO_STATUS: Final = {
    "draft": "", "booked": "", "cancelled": "cancelled", "dispatched": "dispatched",
    "at_pickup": "dispatched at_pickup",
    "in_transit": "dispatched [at_pickup] in_transit [at_facility in_transit]",
    "at_facility": "dispatched [at_pickup] in_transit at_facility",
    "out_for_delivery": "dispatched [at_pickup] in_transit [at_facility] out_for_delivery",
    "at_delivery": "dispatched [at_pickup] in_transit [at_facility out_for_delivery] at_delivery",
    "delivery_attempted": "dispatched in_transit [out_for_delivery at_delivery] delivery_attempted",
    "available_for_pickup": "dispatched in_transit [at_facility] available_for_pickup",
    "partially_delivered": "dispatched in_transit [out_for_delivery at_delivery] partially_delivered",
    "delivered": "dispatched [at_pickup] in_transit [at_facility in_transit] [out_for_delivery at_delivery]"
    " delivered",
    "returning": "dispatched in_transit [out_for_delivery delivery_attempted] returning",
    "returned": "dispatched in_transit [delivery_attempted] returning returned",
    "lost": "dispatched in_transit [at_facility] lost",
}  # fmt: skip
_NO_PLACE_STATES: Final = frozenset({"in_transit", "at_facility", "returning", "returned", "lost"})


@dataclass(slots=True)
class ShipmentHistory:
    """The rows of one shipment, its events and its audit entries: values in the order of the *_COLUMNS below."""

    shipment: tuple[Any, ...] = ()
    events: list[tuple[Any, ...]] = field(default_factory=list)
    audit: list[tuple[Any, ...]] = field(default_factory=list)


@dataclass(slots=True)
class _HistoryWriter:
    """Builds one history: the current row, and the log that leads to it."""

    organization: DemoOrganization
    row: dict[str, Any]
    by: tuple[str, uuid.UUID | None, str]  # role, id, name
    history: ShipmentHistory = field(default_factory=ShipmentHistory)

    def write(
        self, kind: str, at: datetime, recorded_at: datetime, changes: Mapping[str, Any], place: uuid.UUID | None,
        *, action: str, before: Mapping[str, Any] | None, after: Mapping[str, Any], note: str = "",
    ) -> None:  # fmt: skip
        """Add an event and its audit entry."""
        row, (role, actor_id, actor_name) = self.row, self.by
        row["seq"] = len(self.history.events) + 1
        row["underway_since"] = lifecycle.underway_since(
            row["status"], assigned=row["driver_id"] is not None, before=row["underway_since"],
            reassigned="driver" in changes, now=recorded_at,
        )  # fmt: skip
        row["updated_at"] = recorded_at
        organization_id = self.organization.id
        self.history.events.append(
            (self.organization.new_id(recorded_at), organization_id, row["id"], row["seq"], kind, row["status"], at,
             recorded_at, row["effective_at"] if kind == "transitioned" else None, place, role, actor_id,
             {"changes": changes} | ({"note": note} if note else {}))
        )  # fmt: skip
        self.history.audit.append(
            (self.organization.new_id(recorded_at), organization_id, recorded_at, role, actor_id, actor_name,
             action, "shipment", row["reference"], before, after, None, "", "done")
        )  # fmt: skip


SHIPMENT_COLUMNS: Final = (
    "id", "organization_id", "reference", "status", "seq", "origin_id", "destination_id", "customer_id",
    "driver_id", "references", "pieces", "weight_kg", "volume_m3", "planned_pickup_at", "planned_delivery_at",
    "eta", "delivered_at", "effective_at", "underway_since", "flags", "notes", "created_at", "updated_at",
    "deleted_at",
)  # fmt: skip
EVENT_COLUMNS: Final = (
    "id", "organization_id", "shipment_id", "seq", "type", "status", "occurred_at", "recorded_at",
    "effective_at", "location_id", "actor_role", "actor_id", "data",
)  # fmt: skip
AUDIT_COLUMNS: Final = (
    "id", "organization_id", "at", "actor_role", "actor_id", "actor_name", "action", "entity", "entity_id",
    "before", "after", "address", "request_id", "outcome",
)  # fmt: skip


def generate(
    organization: DemoOrganization, *, number: int, created_at: datetime, status: str, detail: float
) -> ShipmentHistory:
    """Return the history of shipment `number` up to `status`.

    `detail` (0…1) is the probability of each optional step; 0 gives the shortest history that the services allow.
    """
    plan = plans.plan(organization, number, created_at, status)
    writer = _HistoryWriter(
        organization,
        plans.shipment_row(organization, number, plan),
        by=("dispatcher", *organization.rng.choice(organization.dispatchers)),
    )
    _write_booking(
        writer,
        plan,
        created_at,
        as_draft=status == "draft" or (detail > organization.rng.random() and detail > 0.5),
    )
    _write_steps(writer, plan, created_at, detail)
    _write_flags(writer)
    row = writer.row
    writer.history.shipment = tuple(row[column] for column in SHIPMENT_COLUMNS)
    return writer.history


def _write_flags(writer: _HistoryWriter) -> None:
    """Add the flags that the relay would have opened since."""
    writer.by = ("system", None, "watch")  # the actor of services.shipments.automatic_flags
    for opened in automatic_flags.due_flags(writer.row, now=writer.organization.now):
        writer.row["flags"] = opened.flags
        writer.write(
            "flagged", opened.at, opened.at, {"flags": opened.flags}, None, note=opened.reason,
            action="flag", before=None, after={"flag": opened.flag, "reason": opened.reason},
        )  # fmt: skip


def _write_booking(writer: _HistoryWriter, plan: Plan, created_at: datetime, *, as_draft: bool) -> None:
    row = writer.row
    row |= {
        "id": writer.organization.new_id(created_at), "status": "draft" if as_draft else "booked", "seq": 1,
        "eta": row["planned_delivery_at"], "created_at": created_at, "updated_at": created_at,
        "effective_at": created_at,
    }  # fmt: skip
    snapshot = representation.snapshot(row)
    writer.write(
        "created", created_at, created_at, snapshot, row["origin_id"],
        action="create", before=None, after=snapshot | {"notes": row["notes"]},
    )  # fmt: skip


def _write_steps(writer: _HistoryWriter, plan: Plan, created_at: datetime, detail: float) -> None:
    """Add every step after the booking, at increasing times."""
    rng, steps = writer.organization.rng, _steps(writer, plan, detail)
    departs_at = min(plan.departs_at, plan.ends_at)
    early_steps = [step for step in steps if step in plans.BEFORE_DEPARTURE or step == "driver"]
    interval_before = (departs_at - created_at) / (len(early_steps) + 1)
    interval_after = (plan.ends_at - departs_at) / max(len(steps) - len(early_steps), 1)
    recorded_at = created_at
    for index, step in enumerate(steps):
        if index < len(early_steps):
            at = created_at + interval_before * (index + rng.uniform(0.3, 0.9))
        else:
            at = departs_at + interval_after * (
                index - len(early_steps) + (rng.uniform(0.1, 0.9) if index > len(early_steps) else 0.01)
            )
        at = max(at.replace(microsecond=0), recorded_at + timedelta(seconds=1))
        recorded_at = at + timedelta(seconds=rng.randrange(40))
        _STEPS.get(step, _write_transition)(writer, plan, step, at, recorded_at)


def _steps(writer: _HistoryWriter, plan: Plan, detail: float) -> list[str]:
    rng = writer.organization.rng
    steps = ["booked"] if writer.row["status"] == "draft" and plan.status != "draft" else []
    if plan.driver:
        steps.append("driver")
    is_included = True
    for word in _STEPS_TO_STATUS[plan.status].split():
        if word.startswith("["):
            is_included = rng.random() < detail
        if is_included:
            steps.append(word.strip("[]"))
        if word.endswith("]"):
            is_included = True
    if "in_transit" in steps and rng.random() < detail:
        steps.insert(steps.index("in_transit") + 1, "eta")
    return steps


def _write_assignment(writer: _HistoryWriter, plan: Plan, step: str, at: datetime, recorded_at: datetime) -> None:
    driver = plan.driver
    if driver is None:
        return
    writer.row |= {"driver_id": driver.pk, "driver__name": driver.name}
    changes = {"driver": representation.party(driver.pk, driver.name)}
    writer.write(
        "amended", recorded_at, recorded_at, changes, None, action="update", before={"driver": None}, after=changes
    )  # fmt: skip


def _write_eta(writer: _HistoryWriter, plan: Plan, step: str, at: datetime, recorded_at: datetime) -> None:
    before = {"eta": representation.instant(writer.row["eta"])}
    eta = plan.arrives_at.replace(minute=plan.arrives_at.minute // 5 * 5, second=0, microsecond=0)
    if eta == writer.row["eta"]:
        eta += timedelta(minutes=5)
    writer.row["eta"] = eta
    changes = {"eta": representation.instant(eta)}
    writer.write("amended", recorded_at, recorded_at, changes, None, action="update", before=before, after=changes)


def _write_transition(writer: _HistoryWriter, plan: Plan, step: str, at: datetime, recorded_at: datetime) -> None:
    row = writer.row
    changes: dict[str, Any] = {"status": step}
    before, row["status"], row["effective_at"] = row["status"], step, max(at, row["effective_at"])
    if step == "delivered":
        row["delivered_at"] = at
        changes["deliveredAt"] = representation.instant(at)
    place = None
    if step in {"at_pickup", "in_transit"} and before in {"dispatched", "at_pickup"}:
        place = row["origin_id"]
    elif step not in plans.BEFORE_DEPARTURE | _NO_PLACE_STATES:
        place = row["destination_id"]
    if step not in {"booked", "cancelled", "dispatched"}:
        writer.by = ("system", None, "carrier feed")
    after = {"status": step} | (
        {"reason": writer.organization.rng.choice(names.REASONS)} if step == "cancelled" else {}
    )
    writer.write(
        "transitioned", at, recorded_at, changes, place, action="transition", before={"status": before}, after=after
    )  # fmt: skip


_STEPS: Final = {"driver": _write_assignment, "eta": _write_eta}
