"""Observations and their correction: evidence is always stored, then evaluated; the status is folded again.

See `shipments.domain.status_fold` for the rules of the fold.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from shipments import representation
from shipments.auth.subjects import Subject
from shipments.domain import lifecycle, status_codes, status_fold
from shipments.domain.versions import Version
from shipments.models import Checkpoint, EventType, Location, Shipment, ShipmentEvent
from shipments.services import write
from shipments.services.shipments import flags
from shipments.services.shipments.places import Place, resolve_place
from shipments.services.validation import InvalidArgument, refuse_future

_ACTUAL: Final = Checkpoint.Classifier.ACTUAL


class CheckpointNotFound(Exception):
    """The shipment has no such checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A reported observation: a `state`, a `code` of a `code_system`, or neither (an estimate of delivery).

    Where both are given the state counts, and the code is stored beside it.
    """

    classifier: str
    occurred_at: datetime
    source: str
    source_event_id: str | None = None
    state: str = ""
    code: str = ""
    code_system: str = ""
    location: str | Place | Location | None = None
    note: str = ""


def observe(
    *,
    by: Subject,
    now: datetime,
    reference: str,
    observation: Observation,
    supersedes: uuid.UUID | None = None,
    expected_version: Version | None = None,
) -> tuple[Checkpoint, bool]:
    """Store an observation as a checkpoint and evaluate it; return the checkpoint and whether it is new.

    The same `(source, source_event_id)` returns the stored checkpoint and writes nothing, whatever
    `expected_version` says. `supersedes` voids that checkpoint first, in the same transaction. Every stored
    observation writes exactly one event.
    Raises ShipmentNotFound, StaleWrite, CheckpointNotFound, UnknownPlace, InvalidArgument.
    """
    meaning = _translate(observation, now)
    with write.locked_shipment(reference, by=by, with_related=True) as shipment:
        stored = _find_stored(shipment, observation)
        if stored is not None:
            return stored, False
        write.check_version(shipment, expected_version)
        if supersedes is not None:
            void_on(shipment, supersedes, by=by, now=now, reason=f"superseded by {observation.source}")
        place = (
            resolve_place(observation.location, organization_id=by.organization_id)
            if observation.location
            else None
        )
        checkpoint = Checkpoint(
            shipment=shipment,
            seq=shipment.seq + 1,
            classifier=observation.classifier,
            state=(meaning.state or "") if meaning else "",
            code=observation.code,
            code_system=observation.code_system,
            occurred_at=observation.occurred_at,
            recorded_at=now,
            location=place,
            note=observation.note,
            source=observation.source,
            source_event_id=observation.source_event_id,
        )
        before = write.snapshot(shipment)
        checkpoint.outcome = _apply(shipment, checkpoint, meaning, now=now)
        _commit_checkpoint(shipment, EventType.OBSERVED, before, by=by, now=now, checkpoint=checkpoint)
        checkpoint.save(force_insert=True)
    return checkpoint, True


def void_on(shipment: Shipment, checkpoint_id: uuid.UUID, *, by: Subject, now: datetime, reason: str) -> None:
    """Void a checkpoint of the locked shipment; one that is voided already stays. Raises CheckpointNotFound."""
    checkpoint = Checkpoint.objects.filter(shipment=shipment, pk=checkpoint_id).first()
    if checkpoint is None:
        raise CheckpointNotFound(str(checkpoint_id))
    if checkpoint.voided_at is not None:
        return
    checkpoint.voided_at, checkpoint.void_reason = now, reason
    checkpoint.save(update_fields=["voided_at", "void_reason"])
    before = write.snapshot(shipment)
    if checkpoint.classifier == _ACTUAL:
        refold(shipment)
    elif shipment.eta == checkpoint.occurred_at:
        shipment.eta = _current_estimate(shipment)
    _commit_checkpoint(shipment, EventType.VOIDED, before, by=by, now=now, checkpoint=checkpoint, reason=reason)


def _translate(observation: Observation, now: datetime) -> status_codes.Meaning | None:
    """Return what the observation means, None for a code that is in no table. Raises InvalidArgument."""
    actual = observation.classifier == _ACTUAL
    if actual:
        refuse_future(
            "occurredAt", observation.occurred_at, now=now, reason="What lies in the future cannot have happened"
        )
    if observation.state:
        if observation.state not in lifecycle.STATES:
            raise InvalidArgument("status", f"{observation.state!r} is not a state.", code="unknown_state")
        return status_codes.Meaning(state=observation.state)
    if observation.code:
        return status_codes.translate(observation.code_system, observation.code)
    if actual:
        raise InvalidArgument("status", "An actual checkpoint names a status or a code.", code="required")
    return status_codes.Meaning(state="delivered", is_estimate=True)


def _find_stored(shipment: Shipment, observation: Observation) -> Checkpoint | None:
    if observation.source_event_id is None:
        return None
    return Checkpoint.objects.filter(
        shipment=shipment, source=observation.source, source_event_id=observation.source_event_id
    ).first()


def _apply(
    shipment: Shipment, checkpoint: Checkpoint, meaning: status_codes.Meaning | None, *, now: datetime
) -> str:
    """Apply the observation to the locked, unsaved shipment, and return the checkpoint's outcome."""
    if meaning is None:
        return Checkpoint.Outcome.ANOMALOUS  # an unknown code: stored and shown, never guessed
    if checkpoint.classifier != _ACTUAL or meaning.is_estimate:
        return _apply_estimate(shipment, checkpoint, meaning)
    if meaning.opens_flag:
        flags.add_flag(shipment, meaning.opens_flag, reason=f"{checkpoint.source} {checkpoint.code}", now=now)
    if meaning.clears_flag:
        flags.remove_flag(shipment, meaning.clears_flag)
    if meaning.state is None:
        return Checkpoint.Outcome.APPLIED
    newest = shipment.effective_at
    folded = refold(shipment, extra=checkpoint)
    if checkpoint.pk not in folded.applied:
        return Checkpoint.Outcome.ANOMALOUS
    if checkpoint.occurred_at < newest or shipment.status != meaning.state:
        return Checkpoint.Outcome.LATE
    return Checkpoint.Outcome.APPLIED


def _apply_estimate(shipment: Shipment, checkpoint: Checkpoint, meaning: status_codes.Meaning) -> str:
    """Move the ETA where the estimate is one of delivery; an estimate wins over a plan."""
    of_delivery = meaning.is_estimate or meaning.state == "delivered"
    planned = checkpoint.classifier == Checkpoint.Classifier.PLANNED
    if not of_delivery or (planned and _estimates(shipment).exclude(classifier="PLN").exists()):
        return Checkpoint.Outcome.LATE
    shipment.eta = checkpoint.occurred_at
    return Checkpoint.Outcome.APPLIED


def _estimates(shipment: Shipment) -> Any:
    return Checkpoint.objects.filter(shipment=shipment, voided_at=None, outcome="applied").exclude(
        classifier=_ACTUAL, state__gt=""
    )


def _current_estimate(shipment: Shipment) -> datetime | None:
    """Return the ETA that the remaining estimates give, else the plan."""
    newest = _estimates(shipment).filter(state__in=["", "delivered"]).order_by("-seq").first()
    return newest.occurred_at if newest else shipment.planned_delivery_at


def refold(
    shipment: Shipment, *, extra: Checkpoint | None = None, without_seq: int | None = None
) -> status_fold.FoldResult:
    """Set status, effective and delivery time from all commands and checkpoints that are not voided.

    `extra` is a checkpoint that is not stored yet; `without_seq` the `seq` of a command that is being voided.
    """
    created = ShipmentEvent.objects.only("status", "recorded_at").get(shipment=shipment, seq=1)
    checkpoints = list(
        Checkpoint.objects.filter(shipment=shipment, classifier=_ACTUAL, voided_at=None).exclude(state="")
    )
    if extra is not None:
        checkpoints.append(extra)
    folded = status_fold.fold(
        created.status,
        created.recorded_at,
        [
            *(status_fold.FoldEntry(c.pk, c.state, c.occurred_at, is_command=False) for c in checkpoints),
            *_commands(shipment, without_seq),
        ],
    )
    shipment.status = folded.status
    shipment.effective_at = folded.effective_at
    shipment.delivered_at = folded.delivered_at
    return folded


def _commands(shipment: Shipment, without_seq: int | None) -> list[status_fold.FoldEntry]:
    """Return the accepted commands that no event has voided."""
    rows = list(
        ShipmentEvent.objects.filter(shipment=shipment, type__in=(EventType.TRANSITIONED, EventType.VOIDED))
        .order_by("seq")
        .values_list("type", "pk", "seq", "status", "effective_at", "data__voided__seq")
    )
    voided = {without_seq, *(voided_seq for kind, *_, voided_seq in rows if kind == EventType.VOIDED)}
    return [
        status_fold.FoldEntry(pk, status, effective_at, is_command=True)
        for kind, pk, seq, status, effective_at, _ in rows
        if kind == EventType.TRANSITIONED and seq not in voided
    ]


def _commit_checkpoint(
    shipment: Shipment,
    kind: EventType,
    before: representation.Json,
    *,
    by: Subject,
    now: datetime,
    checkpoint: Checkpoint,
    reason: str = "",
) -> None:
    """Commit what a checkpoint, stored or voided, has changed on the locked shipment; `before` is its snapshot."""
    old, new = write.snapshot_diff(before, write.snapshot(shipment))
    checkpoint_json = representation.checkpoint(checkpoint)
    voided = voided_entry(checkpoint.seq, EventType.OBSERVED, checkpoint.state)
    write.commit_change(
        shipment,
        kind,
        by=by,
        now=now,
        columns=("status", "effective_at", "delivered_at", "eta", "flags"),
        changes=new,
        occurred_at=checkpoint.occurred_at,
        audit_before=old,
        audit_after=new | {"checkpoint": checkpoint_json} | ({"reason": reason} if reason else {}),
        location=checkpoint.location,
        note=reason or checkpoint.note,
        checkpoint=checkpoint_json,
        voided=voided if kind == EventType.VOIDED else {},
    )


def voided_entry(seq: int, kind: EventType, state: str) -> representation.Json:
    """Return `data.voided` of an event: which one it voids, and the status that this one claimed, None for none."""
    return {"seq": seq, "type": kind.value, "status": state or None}
