"""One shipment's made-up past, written row by row as the services would have written it."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from shipments import representation
from shipments.demo import names, overdue, plans
from shipments.demo.cast import Cast
from shipments.demo.plans import Plan

# The way to each state from `booked`: [optional] steps are left out of short histories.
_WAYS: Final = {
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
_ON_THE_WAY: Final = frozenset({"in_transit", "at_facility", "returning", "returned", "lost"})


@dataclass(slots=True)
class Story:
    """The rows of one shipment: its own, its events, its audit entries; values in the order of COLUMNS."""

    shipment: tuple[Any, ...] = ()
    events: list[tuple[Any, ...]] = field(default_factory=list)
    audit: list[tuple[Any, ...]] = field(default_factory=list)


@dataclass(slots=True)
class _Pen:
    """Writes one story: the row as it is now, and the log behind it."""

    cast: Cast
    row: dict[str, Any]
    by: tuple[str, uuid.UUID | None, str]  # role, id, name
    story: Story = field(default_factory=Story)

    def write(
        self, kind: str, at: datetime, recorded_at: datetime, changes: Mapping[str, Any], place: uuid.UUID | None,
        *, action: str, before: Mapping[str, Any] | None, after: Mapping[str, Any], note: str = "",
    ) -> None:  # fmt: skip
        """This will add an event and its audit entry."""
        row, (role, actor_id, actor_name) = self.row, self.by
        row["seq"] = len(self.story.events) + 1
        row["updated_at"] = recorded_at
        organization = self.cast.organization_id
        self.story.events.append(
            (self.cast.new_id(recorded_at), organization, row["id"], row["seq"], kind, row["status"], at,
             recorded_at, row["effective_at"] if kind == "transitioned" else None, place, role, actor_id,
             {"changes": changes} | ({"note": note} if note else {}))
        )  # fmt: skip
        self.story.audit.append(
            (self.cast.new_id(recorded_at), organization, recorded_at, role, actor_id, actor_name, action,
             "shipment", row["reference"], before, after, None, "", "done")
        )  # fmt: skip


SHIPMENT_COLUMNS: Final = (
    "id", "organization_id", "reference", "status", "seq", "origin_id", "destination_id", "customer_id",
    "driver_id", "references", "pieces", "weight_kg", "volume_m3", "planned_pickup_at", "planned_delivery_at",
    "eta", "delivered_at", "effective_at", "flags", "notes", "created_at", "updated_at", "deleted_at",
)  # fmt: skip
EVENT_COLUMNS: Final = (
    "id", "organization_id", "shipment_id", "seq", "type", "status", "occurred_at", "recorded_at",
    "effective_at", "location_id", "actor_role", "actor_id", "data",
)  # fmt: skip
AUDIT_COLUMNS: Final = (
    "id", "organization_id", "at", "actor_role", "actor_id", "actor_name", "action", "entity", "entity_id",
    "before", "after", "address", "request_id", "outcome",
)  # fmt: skip


def tell(cast: Cast, *, number: int, created_at: datetime, status: str, detail: float) -> Story:
    """This will return the story of shipment `number` up to `status`.

    `detail` (0…1) is the chance of each optional step; 0 is the shortest history that the services allow.
    """
    plan = plans.plan(cast, number, created_at, status)
    pen = _Pen(cast, plans.measures(cast, number, plan), by=("dispatcher", *cast.rng.choice(cast.dispatchers)))
    _book(pen, plan, created_at, as_draft=status == "draft" or (detail > cast.rng.random() and detail > 0.5))
    _travel(pen, plan, created_at, detail)
    _flag(pen)
    row = pen.row
    pen.story.shipment = tuple(row[column] for column in SHIPMENT_COLUMNS)
    return pen.story


def _flag(pen: _Pen) -> None:
    """This will write what the watch has opened since."""
    pen.by = ("system", None, "watch")
    for opened in overdue.flaggings(pen.row, now=pen.cast.now):
        pen.row["flags"] = opened.flags
        pen.write(
            "flagged", opened.at, opened.at, {"flags": opened.flags}, None, note=opened.reason,
            action="flag", before=None, after={"flag": opened.flag, "reason": opened.reason},
        )  # fmt: skip


def _book(pen: _Pen, plan: Plan, created_at: datetime, *, as_draft: bool) -> None:
    row = pen.row
    row |= {
        "id": pen.cast.new_id(created_at), "status": "draft" if as_draft else "booked", "seq": 1,
        "eta": row["planned_delivery_at"], "created_at": created_at, "updated_at": created_at,
        "effective_at": created_at,
    }  # fmt: skip
    shown = representation.snapshot(row)
    pen.write(
        "created", created_at, created_at, shown, row["origin_id"],
        action="create", before=None, after=shown | {"notes": row["notes"]},
    )  # fmt: skip


def _travel(pen: _Pen, plan: Plan, created_at: datetime, detail: float) -> None:
    """This will write every step behind the booking, at times that only grow."""
    rng, steps = pen.cast.rng, _steps(pen, plan, detail)
    departs_at = min(plan.departs_at, plan.ends_at)
    ashore = [step for step in steps if step in plans.BEFORE_DEPARTURE or step == "driver"]
    lead = (departs_at - created_at) / (len(ashore) + 1)
    way = (plan.ends_at - departs_at) / max(len(steps) - len(ashore), 1)
    learnt_at = created_at
    for index, step in enumerate(steps):
        if index < len(ashore):
            at = created_at + lead * (index + rng.uniform(0.3, 0.9))
        else:
            at = departs_at + way * (index - len(ashore) + (rng.uniform(0.1, 0.9) if index > len(ashore) else 0.01))
        at = max(at.replace(microsecond=0), learnt_at + timedelta(seconds=1))
        learnt_at = at + timedelta(seconds=rng.randrange(40))
        _STEPS.get(step, _advance)(pen, plan, step, at, learnt_at)


def _steps(pen: _Pen, plan: Plan, detail: float) -> list[str]:
    rng = pen.cast.rng
    steps = ["booked"] if pen.row["status"] == "draft" and plan.status != "draft" else []
    if plan.driver:
        steps.append("driver")
    kept = True
    for word in _WAYS[plan.status].split():
        if word.startswith("["):
            kept = rng.random() < detail
        if kept:
            steps.append(word.strip("[]"))
        if word.endswith("]"):
            kept = True
    if "in_transit" in steps and rng.random() < detail:
        steps.insert(steps.index("in_transit") + 1, "eta")
    return steps


def _assign(pen: _Pen, plan: Plan, step: str, at: datetime, learnt_at: datetime) -> None:
    driver = plan.driver
    if driver is None:
        return
    pen.row |= {"driver_id": driver.pk, "driver__name": driver.name}
    shown = {"driver": representation.party(driver.pk, driver.name)}
    pen.write(
        "amended", learnt_at, learnt_at, shown, None, action="update", before={"driver": None}, after=shown
    )  # fmt: skip


def _refine_eta(pen: _Pen, plan: Plan, step: str, at: datetime, learnt_at: datetime) -> None:
    before = {"eta": representation.instant(pen.row["eta"])}
    eta = plan.arrives_at.replace(minute=plan.arrives_at.minute // 5 * 5, second=0, microsecond=0)
    if eta == pen.row["eta"]:
        eta += timedelta(minutes=5)
    pen.row["eta"] = eta
    shown = {"eta": representation.instant(eta)}
    pen.write("amended", learnt_at, learnt_at, shown, None, action="update", before=before, after=shown)


def _advance(pen: _Pen, plan: Plan, step: str, at: datetime, learnt_at: datetime) -> None:
    row = pen.row
    changes: dict[str, Any] = {"status": step}
    before, row["status"], row["effective_at"] = row["status"], step, max(at, row["effective_at"])
    if step == "delivered":
        row["delivered_at"] = at
        changes["deliveredAt"] = representation.instant(at)
    place = None
    if step in {"at_pickup", "in_transit"} and before in {"dispatched", "at_pickup"}:
        place = row["origin_id"]
    elif step not in plans.BEFORE_DEPARTURE | _ON_THE_WAY:
        place = row["destination_id"]
    if step not in {"booked", "cancelled", "dispatched"}:
        pen.by = ("system", None, "carrier feed")
    after = {"status": step} | ({"reason": pen.cast.rng.choice(names.REASONS)} if step == "cancelled" else {})
    pen.write(
        "transitioned", at, learnt_at, changes, place, action="transition", before={"status": before}, after=after
    )  # fmt: skip


_STEPS: Final = {"driver": _assign, "eta": _refine_eta}
