"""A booked shipment with a driver, and a carrier that reports about it."""

from datetime import datetime, timedelta
from typing import Any

from shipments import services
from shipments.models import Checkpoint, Shipment
from shipments.services import Observation
from tests import factories
from tests.factories import NOW
from tests.shipments.event_log import events_of, snapshot_of

HOUR = timedelta(hours=1)


class CarrierCase:
    """Rotterdam to Hamburg, booked ten hours ago."""

    def __init__(self) -> None:
        self.organization = factories.organization()
        self.by = factories.member(self.organization, "dispatcher")
        self.shipment: Shipment = factories.booked_shipment(
            self.by,
            driver_id=factories.driver(self.organization).pk,
            now=NOW - 10 * HOUR,
            planned_delivery_at=NOW + 50 * HOUR,
        )

    def report(self, at: datetime, state: str = "", **more: Any) -> Checkpoint:
        supersedes, by = more.pop("supersedes", None), more.pop("by", self.by)
        fields: dict[str, Any] = {"classifier": "ACT", "occurred_at": at, "source": "edi", "state": state}
        return services.observe(
            by=by,
            now=NOW,
            reference=self.shipment.reference,
            observation=Observation(**(fields | more)),
            supersedes=supersedes,
        )[0]

    def void(self, checkpoint: Checkpoint, reason: str = "wrong truck") -> None:
        services.void_checkpoint(
            by=self.by, now=NOW, reference=self.shipment.reference, checkpoint_id=checkpoint.pk, reason=reason
        )

    @property
    def snapshot(self) -> dict[str, Any]:
        return snapshot_of(self.shipment)

    @property
    def events(self) -> list[dict[str, Any]]:
        return events_of(self.shipment)
