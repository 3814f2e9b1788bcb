"""The log: one immutable row for each change of a shipment, as timeline, audit trail, outbox and replay log."""

from typing import ClassVar

from django.db import models

from shipments.domain.identifiers import new_id
from shipments.querysets import EventQuerySet


class EventType(models.TextChoices):
    """What kind of change an event is."""

    CREATED = "created"
    TRANSITIONED = "transitioned"
    AMENDED = "amended"
    OBSERVED = "observed"
    VOIDED = "voided"
    FLAGGED = "flagged"
    UNFLAGGED = "unflagged"
    DELETED = "deleted"
    # A proof of delivery was stored.
    PROVEN = "proven"
    # Of the organisation, not of one shipment.
    DRIVER_CHANGED = "driver_changed"
    CUSTOMER_CHANGED = "customer_changed"


class ShipmentEvent(models.Model):
    """One change. Insert-only: a trigger refuses UPDATE, DELETE and TRUNCATE.

    `data` is `{"changes": {field of the public snapshot: new value}, …}`:
    snapshot(n) updated with the `changes` of n+1 is snapshot(n+1).
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey("Organization", on_delete=models.CASCADE, db_index=False)
    # NULL, with seq 0, for an event of the organisation, which is only in the feed.
    # Checked by the trigger `event_has_shipment` once a commit: a foreign key checks every version of the row.
    shipment = models.ForeignKey(
        "Shipment", on_delete=models.CASCADE, null=True, related_name="events", db_index=False, db_constraint=False
    )
    seq = models.PositiveBigIntegerField()
    type = models.CharField(max_length=16, choices=EventType)
    status = models.CharField(max_length=20)
    # When it happened (may be reported late) and when it was recorded. The order is `seq`, never a time.
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    # Of an accepted command: its place in the fold of the status.
    effective_at = models.DateTimeField(null=True, blank=True)
    location = models.ForeignKey("Location", on_delete=models.PROTECT, null=True, blank=True, db_index=False)
    actor_role = models.CharField(max_length=16)
    actor_id = models.UUIDField(null=True, blank=True)
    # Of a change by an API key, as it was called then, and of a change by a request.
    actor_key_id = models.UUIDField(null=True, blank=True)
    actor_key_name = models.CharField(max_length=80, null=True, blank=True)
    request_id = models.CharField(max_length=64, null=True, blank=True)
    data = models.JSONField(default=dict)

    objects: ClassVar[EventQuerySet] = EventQuerySet.as_manager()  # type: ignore[assignment]  # typed as a Manager

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["shipment", "seq"], name="event_seq_once"),
            models.CheckConstraint(
                condition=models.Q(shipment=None, seq=0) | models.Q(shipment__isnull=False, seq__gte=1),
                name="event_seq_of_shipment",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.shipment_id} #{self.seq} {self.type}"


class Generation(models.Model):
    """The part of the epoch that Freight gives by itself, in one row: random, and new where numbers may be reused.

    `freight_epoch()` reads it, and `services/history/generations.py` alone changes it. `went_back_at` is when the
    database was last found to have lost events, None where that never happened.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    value = models.UUIDField()
    reason = models.CharField(max_length=200)
    began_at = models.DateTimeField()
    went_back_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="generation_is_one_row")]

    def __str__(self) -> str:
        return f"{self.value} since {self.began_at:%Y-%m-%d %H:%M}: {self.reason}"
