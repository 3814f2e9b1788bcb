"""Simulate the demo's shipments: choose which one changes next, and how, through the public services alone."""

import random
import uuid
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Count, Q

from shipments import services
from shipments.auth import subjects
from shipments.demo import names, plans
from shipments.demo.fault_injector import FaultInjector
from shipments.domain import lifecycle
from shipments.domain.versions import Version
from shipments.models import Customer, Driver, Shipment
from shipments.querysets import ShipmentQuerySet

# Every other event refines the ETA of one of the newest shipments in transit, in rotation. They change in no other
# way.
ETA_POOL: Final = 50
# With fewer shipments than this in transit none is taken out for delivery.
MIN_IN_TRANSIT: Final = 150
# One round of the other half. Each state gains as many shipments as it loses, so the distribution stays the same
# for days; a round books one shipment and delivers one: some 7,000 a day at 10 events per second.
_ROUND_OF_ACTIONS: Final = (
    "book", "confirm", "assign", "dispatch", "pick_up", "depart", "bring", "arrive", "deliver",
    *("stop", "go") * 17, *("refine",) * 13, "attempt", "retry",
)  # fmt: skip
_TRANSITIONS: Final = {
    "confirm": ("draft", "booked"),
    "dispatch": ("booked", "dispatched"),
    "pick_up": ("dispatched", "at_pickup"),
    "depart": ("at_pickup", "in_transit"),
    "stop": ("in_transit", "at_facility"),
    "go": ("at_facility", "in_transit"),
    "bring": ("in_transit", "out_for_delivery"),
    "arrive": ("out_for_delivery", "at_delivery"),
    "deliver": ("at_delivery", "delivered"),
    "attempt": ("out_for_delivery", "delivery_attempted"),
    "retry": ("delivery_attempted", "out_for_delivery"),
}
# One is chosen among this many of a state.
_CANDIDATES: Final = 200
_SHIPMENTS_PER_DRIVER: Final = 6
_REFUSALS: Final = (
    lifecycle.IllegalTransition, services.ShipmentNotFound, services.StaleWrite, services.InvalidArgument,
    services.DuplicateReference,
)  # fmt: skip


class ShipmentSimulator:
    """Writes one event per step; its choices follow from the seed and the stored shipments."""

    def __init__(self, organization_id: uuid.UUID, *, seed: int, faults: frozenset[str] = frozenset()) -> None:
        self.by = subjects.system_subject(organization_id, name="simulator")
        self.counts: Counter[str] = Counter()
        self.rng = random.Random(seed)  # noqa: S311  reproducible choices
        self._faults = FaultInjector(faults, by=self.by, rng=self.rng)
        self._eta_pool: deque[uuid.UUID] = deque()
        self._left_in_pool = 0  # until the pool is loaded again
        self._round: list[str] = []
        self._step_count = 0
        self._lane = plans.random_lane(self.rng)

    def step(self, now: datetime) -> bool:
        """Write the next event and return whether it was written; refusals of the services count as skipped."""
        self._step_count += 1
        name = "watched" if self._step_count % 2 else self._next_name()
        try:
            done = self._refine_pooled(now) if name == "watched" else self._act(name, now)
        except _REFUSALS:
            done = False
        self.counts[name if done else "skipped"] += 1
        return done

    def _next_name(self) -> str:
        if not self._round:
            self._round = self.rng.sample(_ROUND_OF_ACTIONS, len(_ROUND_OF_ACTIONS))
        return self._round.pop()

    def _act(self, name: str, now: datetime) -> bool:
        special: dict[str, Callable[[datetime], bool]] = {
            "book": self._book, "assign": self._assign, "dispatch": self._dispatch, "refine": self._refine_any,
        }  # fmt: skip
        if name in special:
            return special[name](now)
        source, to = _TRANSITIONS[name]
        if name == "bring" and self._in_transit()[: MIN_IN_TRANSIT + 1].count() <= MIN_IN_TRANSIT:
            return False
        shipment = self._choose_shipment(source)
        if shipment is None:
            return False
        if name in {"stop", "go"} and self._faults.maybe_inject(shipment, to, now):
            return True
        return self._advance(shipment, to, now)

    def _advance(self, shipment: Shipment, to: str, now: datetime) -> bool:
        place = {"at_pickup": shipment.origin, "in_transit": shipment.origin}.get(to)
        if to in {"at_delivery", "delivered", "delivery_attempted"}:
            place = shipment.destination
        moved = services.advance(
            by=self.by, now=now, reference=shipment.reference, to=to, expected_version=Version(shipment.seq),
            occurred_at=now - timedelta(seconds=self.rng.randrange(1, 90)),
            location=place.locode if place and shipment.status != "at_facility" else None,
        )  # fmt: skip
        return moved.seq > shipment.seq

    # -- the ETA pool ------------------------------------------------------------------------------------

    def _in_transit(self) -> ShipmentQuerySet:
        rows = Shipment.objects.of_organization(self.by.organization_id).not_deleted().filter(status="in_transit")
        return rows.order_by("-created_at", "-id")

    def _refine_pooled(self, now: datetime) -> bool:
        if not self._left_in_pool:
            ids = list(self._in_transit().values_list("pk", flat=True)[:ETA_POOL])
            self._eta_pool, self._left_in_pool = deque(ids), len(ids)
            if not ids:
                return False
        identifier = self._eta_pool[0]
        self._eta_pool.rotate(-1)
        self._left_in_pool -= 1
        shipment = self._in_transit().filter(pk=identifier).first()
        return shipment is not None and self._refine(shipment, now)

    # -- all other shipments -----------------------------------------------------------------------------

    def _choose_shipment(self, status: str, **filters: object) -> Shipment | None:
        """Choose among the oldest shipments of a state; the ETA pool is left alone."""
        rows = (
            Shipment.objects.of_organization(self.by.organization_id).not_deleted().filter(status=status, **filters)
        )
        rows = rows.select_related("origin", "destination").order_by("created_at", "id")
        if status == "in_transit":
            rows = rows.exclude(pk__in=list(self._in_transit().values_list("pk", flat=True)[:ETA_POOL]))
        shipments: list[Shipment] = list(rows[:_CANDIDATES])
        return self.rng.choice(shipments) if shipments else None

    def _refine_any(self, now: datetime) -> bool:
        shipment = self._choose_shipment(self.rng.choice(("in_transit", "at_facility", "out_for_delivery")))
        return shipment is not None and self._refine(shipment, now)

    def _refine(self, shipment: Shipment, now: datetime) -> bool:
        """Move the estimate by a few minutes, never into the past."""
        base = max(shipment.eta or now + timedelta(days=1), now + timedelta(minutes=30))
        eta = base.replace(second=0, microsecond=0) + timedelta(minutes=self.rng.choice((-15, -10, -5, 5, 10, 20)))
        services.amend(by=self.by, now=now, reference=shipment.reference, changes={"eta": eta})
        return True

    def _book(self, now: datetime) -> bool:
        if self.rng.random() < 1 / _SHIPMENTS_PER_DRIVER:
            self._lane = plans.random_lane(self.rng)
        rng, lane = self.rng, self._lane
        rows = Customer.objects.of_organization(self.by.organization_id).order_by("id")
        customers = list(rows.values_list("pk", flat=True)[:100])
        pickup = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=rng.randrange(1, 12))
        weight_kg, volume_m3 = plans.random_load(rng, lane)
        services.book(
            by=self.by, now=now, origin=lane.origin, destination=lane.destination,
            status="draft", customer_id=rng.choice(customers) if customers else None,
            notes=rng.choice(names.NOTES) if rng.random() < 0.2 else "",
            references=plans.random_references(rng, lane), pieces=rng.randrange(1, 900),
            weight_kg=weight_kg, volume_m3=volume_m3,
            planned_pickup_at=pickup, planned_delivery_at=pickup + timedelta(days=lane.days),
        )  # fmt: skip
        return True

    def _assign(self, now: datetime) -> bool:
        shipment = self._choose_shipment("booked", driver=None)
        driver_id = self._driver_for(shipment) if shipment else None
        if shipment is None or driver_id is None:
            return False
        services.amend(by=self.by, now=now, reference=shipment.reference, changes={"driver_id": driver_id})
        return True

    def _dispatch(self, now: datetime) -> bool:
        shipment = self._choose_shipment("booked", driver__isnull=False)
        return shipment is not None and self._advance(shipment, "dispatched", now)

    def _driver_for(self, shipment: Shipment) -> uuid.UUID | None:
        """Choose an idle driver with shipments on the same lane, else the one with the fewest in motion."""
        rows = Driver.objects.of_organization(self.by.organization_id).filter(status=Driver.Status.ACTIVE)
        is_waiting = Q(shipments__status__in=("booked", "dispatched", "at_pickup"))
        is_same_lane = Q(shipments__origin=shipment.origin_id, shipments__destination=shipment.destination_id)
        rows = rows.annotate(
            moving=Count("shipments", filter=Q(shipments__status__in=lifecycle.IN_MOTION)),
            alike=Count("shipments", filter=is_waiting & is_same_lane),
        )
        joined = (
            rows.filter(alike__gte=1, alike__lt=_SHIPMENTS_PER_DRIVER, moving=0).order_by("-alike", "id").first()
        )
        chosen = joined or rows.order_by("moving", "id").first()
        return chosen.pk if chosen else None
