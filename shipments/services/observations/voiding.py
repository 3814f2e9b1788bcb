"""Corrections: an accepted command or an observation is taken out of the fold, with a reason; its history stays."""

import uuid
from datetime import datetime
from typing import Final

from shipments.auth.subjects import Subject
from shipments.domain.versions import Version
from shipments.models import Checkpoint, EventType, Shipment, ShipmentEvent
from shipments.services import write
from shipments.services.observations import recording
from shipments.services.observations.histories import HistoryCache

# What a person or a feed has said, and may have been wrong about.
VOIDABLE: Final = (EventType.TRANSITIONED, EventType.OBSERVED)


class EventNotFound(Exception):
    """The shipment has no event with this number."""


class NotVoidable(Exception):
    """The event is neither a command nor an observation, so there is nothing that the fold could leave out."""

    def __init__(self, event: ShipmentEvent) -> None:
        super().__init__(
            f"Event {event.seq} is of the type {event.type}; only an accepted command (transitioned) or an"
            " observation (observed) can be voided."
        )


def void_event(
    *,
    by: Subject,
    now: datetime,
    reference: str,
    seq: int,
    reason: str,
    expected_version: Version | None = None,
) -> Shipment:
    """Exclude an accepted command, or the observation that the event recorded, from the fold, for good.

    The status is folded again from what remains. Voiding again changes nothing.
    Raises ShipmentNotFound, StaleWrite, EventNotFound, NotVoidable.
    """
    with write.locked_shipment(reference, by=by, expected_version=expected_version, with_related=True) as shipment:
        event = ShipmentEvent.objects.select_related("location").filter(shipment=shipment, seq=seq).first()
        if event is None:
            raise EventNotFound(str(seq))
        if event.type not in VOIDABLE:
            raise NotVoidable(event)
        if event.type == EventType.OBSERVED:
            checkpoint_id = Checkpoint.objects.values_list("pk", flat=True).get(shipment=shipment, seq=seq)
            history = HistoryCache().of(shipment)
            recording.void_on(shipment, history, checkpoint_id, by=by, now=now, reason=reason)
        elif not _is_voided(event):
            _void_command(shipment, event, by=by, now=now, reason=reason)
    return shipment


def void_checkpoint(
    *,
    by: Subject,
    now: datetime,
    reference: str,
    checkpoint_id: uuid.UUID,
    reason: str,
    expected_version: Version | None = None,
) -> Shipment:
    """Exclude an observation from the fold, for good and with a reason; its history stays.

    Voiding again changes nothing. Raises ShipmentNotFound, StaleWrite, CheckpointNotFound.
    """
    with write.locked_shipment(reference, by=by, expected_version=expected_version, with_related=True) as shipment:
        recording.void_on(shipment, HistoryCache().of(shipment), checkpoint_id, by=by, now=now, reason=reason)
    return shipment


def _is_voided(event: ShipmentEvent) -> bool:
    return ShipmentEvent.objects.filter(
        shipment=event.shipment_id, type=EventType.VOIDED, data__voided__seq=event.seq
    ).exists()


def _void_command(shipment: Shipment, command: ShipmentEvent, *, by: Subject, now: datetime, reason: str) -> None:
    before = write.snapshot(shipment)
    recording.refold(shipment, HistoryCache().of(shipment), without_seq=command.seq)
    old, new = write.snapshot_diff(before, write.snapshot(shipment))
    voided = recording.voided_entry(command.seq, EventType.TRANSITIONED, command.status)
    write.commit_change(
        shipment,
        EventType.VOIDED,
        by=by,
        now=now,
        columns=("status", "effective_at", "delivered_at"),
        changes=new,
        occurred_at=command.occurred_at,
        audit_before=old,
        audit_after=new | {"voided": voided, "reason": reason},
        location=command.location,
        note=reason,
        voided=voided,
    )
