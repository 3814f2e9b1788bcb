"""What observations do beside the status: they move the ETA, and open and clear flags."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from shipments import representation
from shipments.domain import status_codes, status_fold
from shipments.domain.flag_fold import FlagEntry, fold_flag
from shipments.domain.status_codes import Meaning
from shipments.models import Checkpoint, EventType, Location, Shipment
from shipments.services.observations.histories import History

_ACTUAL: Final = Checkpoint.Classifier.ACTUAL
# No estimate moves the ETA of what has arrived, or never will.
_WITHOUT_ETA: Final = frozenset({"delivered", "returned", "cancelled"})
# What is estimated of these is the delivery.
_AT_THE_END: Final = frozenset({"delivered", "at_delivery"})


def is_at_destination(shipment: Shipment, place: Location | None) -> bool | None:
    """Tell whether a place is the shipment's destination, None where that cannot be told."""
    destination = shipment.destination
    if place is None:
        return None
    if place.pk == destination.pk:
        return True
    return place.locode == destination.locode if place.locode and destination.locode else None


def is_estimate(checkpoint: Checkpoint) -> bool:
    """Tell whether a stored checkpoint is about a time to come, by its classifier or by its code."""
    meaning = meaning_of(checkpoint)
    return checkpoint.classifier != _ACTUAL or (meaning is not None and meaning.is_estimate)


def meaning_of(checkpoint: Checkpoint) -> Meaning | None:
    """Return what a stored checkpoint means: its state where one was reported, else what its code says."""
    if checkpoint.state:
        return status_codes.meaning_beside_state(checkpoint.state, checkpoint.code_system, checkpoint.code)
    return status_codes.translate(checkpoint.code_system, checkpoint.code)


def apply_estimate(shipment: Shipment, history: History, checkpoint: Checkpoint, meaning: Meaning) -> str:
    """Move the ETA of the locked shipment where the estimate is one of delivery; an estimate wins over a plan."""
    of_delivery = (
        meaning.is_estimate
        or meaning.state in _AT_THE_END
        or (meaning.is_arrival and is_at_destination(shipment, checkpoint.location) is True)
    )
    planned = checkpoint.classifier == Checkpoint.Classifier.PLANNED
    if (
        not of_delivery
        or shipment.status in _WITHOUT_ETA
        or shipment.delivered_at is not None
        or (planned and any(each.classifier != Checkpoint.Classifier.PLANNED for each in _estimates(history)))
    ):
        return Checkpoint.Outcome.LATE
    shipment.eta = checkpoint.occurred_at
    return Checkpoint.Outcome.APPLIED


def current_estimate(shipment: Shipment, history: History) -> datetime | None:
    """Return the ETA that the remaining estimates give, else the plan."""
    newest = next(iter(_estimates(history)), None)
    return newest.occurred_at if newest else shipment.planned_delivery_at


def refold_flags(
    shipment: Shipment, history: History, meaning: Meaning | None, *, extra: Checkpoint | None
) -> None:
    """Open or clear the flags that a meaning names on the locked shipment, from all that was said about them.

    `extra` is an observation that is not stored yet.
    """
    if meaning is not None:
        for flag in sorted({meaning.opens_flag, meaning.clears_flag} - {None}, key=str):
            _refold_flag(shipment, history, str(flag), extra=extra)


def _estimates(history: History) -> list[Checkpoint]:
    """Return the checkpoints that have moved the ETA, the newest first."""
    return [
        checkpoint
        for checkpoint in reversed(history.counting_checkpoints())
        if checkpoint.outcome == Checkpoint.Outcome.APPLIED and is_estimate(checkpoint)
    ]


def _refold_flag(shipment: Shipment, history: History, flag: str, *, extra: Checkpoint | None) -> None:
    opened = fold_flag([*_observed(shipment, history, flag, extra), *_decided(history, flag)])
    others = [each for each in shipment.flags if each["flag"] != flag]
    if opened is None:
        shipment.flags = others
        return
    entry = {"flag": flag, "reason": opened.reason, "openedAt": representation.instant(opened.at)}
    shipment.flags = sorted([*others, entry], key=lambda each: (each["openedAt"], each["flag"]))


def _observed(shipment: Shipment, history: History, flag: str, extra: Checkpoint | None) -> Iterator[FlagEntry]:
    """Yield what counting observations say about a flag."""
    for checkpoint in [*history.counting_checkpoints(), *([extra] if extra else [])]:
        if checkpoint.classifier != _ACTUAL or not checkpoint.code:
            continue
        meaning = meaning_of(checkpoint)
        if meaning is None or status_fold.is_before_any_booking(checkpoint.occurred_at, shipment.created_at):
            continue
        if flag in {meaning.opens_flag, meaning.clears_flag}:
            reason = f"{checkpoint.source} {checkpoint.code}"
            # A clock in the field may run ahead of ours, by which people act.
            at = min(checkpoint.occurred_at, checkpoint.recorded_at)
            yield FlagEntry(at, opens=meaning.opens_flag == flag, reason=reason)


def _decided(history: History, flag: str) -> Iterator[FlagEntry]:
    """Yield what people, and the rules that open flags by themselves, have said about a flag."""
    before: dict[str, Any] | None = None
    for kind, recorded_at, flags in history.flag_changes:
        after = next((each for each in flags if each["flag"] == flag), None)
        if kind not in {EventType.OBSERVED, EventType.VOIDED} and (before is None) != (after is None):
            yield FlagEntry(recorded_at, opens=after is not None, reason=after["reason"] if after else "")
        before = after
