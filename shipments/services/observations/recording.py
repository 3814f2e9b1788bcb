"""Observations and their correction: evidence is always stored, then evaluated; the status is folded again.

See `shipments.domain.status_fold` for the rules of the fold.
"""

import uuid
from datetime import datetime
from typing import Final

from shipments import representation
from shipments.auth.subjects import Subject
from shipments.compiled_sql import writes
from shipments.domain import lifecycle, status_codes, status_fold
from shipments.domain.versions import Version
from shipments.models import Checkpoint, EventType, Location, Shipment
from shipments.services import write
from shipments.services.observations import effects, source_events
from shipments.services.observations.histories import History, HistoryCache
from shipments.services.observations.source_events import Observation
from shipments.services.shipments.places import resolve_place
from shipments.services.validation import InvalidArgument, refuse_future

_ACTUAL: Final = Checkpoint.Classifier.ACTUAL


class CheckpointNotFound(Exception):
    """The shipment has no such checkpoint."""


def observe(
    *,
    by: Subject,
    now: datetime,
    reference: str,
    observation: Observation,
    supersedes: uuid.UUID | None = None,
    expected_version: Version | None = None,
    histories: HistoryCache | None = None,
) -> tuple[Checkpoint, bool]:
    """Store an observation as a checkpoint and evaluate it; return the checkpoint and whether it is new.

    The same again (see `source_events`) returns the stored checkpoint and writes nothing, whatever
    `expected_version` says. The same `(source, source_event_id)` with other content corrects the checkpoint that is
    stored: it is voided first, in the same transaction, as is the one that `supersedes` names. Every stored
    observation writes exactly one event, and so does every voiding. `histories` are those of shipments that the
    caller's transaction has locked.
    Raises ShipmentNotFound, StaleWrite, CheckpointNotFound, UnknownPlace, InvalidArgument; SourceEventConflict and
    Forbidden where the subject may not correct.
    """
    if supersedes is not None:
        by.require("shipments:write")
    meaning = _translate(observation, now)
    # Only the void of a checkpoint that is named writes before the last refusal.
    savepoint = supersedes is not None
    with write.locked_shipment(reference, by=by, with_related=True, savepoint=savepoint) as shipment:
        location = observation.location
        place = resolve_place(location, organization_id=by.organization_id) if location else None
        history = (histories or HistoryCache()).of(shipment)
        earlier = source_events.find_earlier(history, observation, place, supersedes=supersedes)
        if earlier.repeated is not None:
            return earlier.repeated, False
        if earlier.corrected is not None:
            source_events.check_may_correct(by, observation, earlier.corrected)
        write.check_version(shipment, expected_version)
        corrected = {earlier.corrected.pk} if earlier.corrected else set()
        for wrong in corrected | ({supersedes} if supersedes else set()):
            void_on(shipment, history, wrong, by=by, now=now, reason=f"superseded by {observation.source}")
        checkpoint = _new_checkpoint(shipment, observation, meaning, place, now)
        _store(shipment, history, checkpoint, meaning, by=by, now=now)
    return checkpoint, True


def _new_checkpoint(
    shipment: Shipment,
    observation: Observation,
    meaning: status_codes.Meaning | None,
    place: Location | None,
    now: datetime,
) -> Checkpoint:
    return Checkpoint(
        shipment=shipment,
        seq=shipment.seq + 1,
        classifier=observation.classifier,
        state=_state_of(meaning, shipment, place, observation, now),
        code=observation.code,
        code_system=observation.code_system,
        occurred_at=observation.occurred_at,
        recorded_at=now,
        location=place,
        note=observation.note,
        source=observation.source,
        source_event_id=observation.source_event_id,
    )


def _store(
    shipment: Shipment,
    history: History,
    checkpoint: Checkpoint,
    meaning: status_codes.Meaning | None,
    *,
    by: Subject,
    now: datetime,
) -> None:
    """Apply the new checkpoint to the locked shipment, and write both in one statement."""
    before = write.snapshot(shipment)
    checkpoint.outcome = _apply(shipment, history, checkpoint, meaning)
    with writes.batched_writes():
        _commit_checkpoint(shipment, history, EventType.OBSERVED, before, by=by, now=now, checkpoint=checkpoint)
        writes.insert(checkpoint)
    history.checkpoints.append(checkpoint)


def void_on(
    shipment: Shipment, history: History, checkpoint_id: uuid.UUID, *, by: Subject, now: datetime, reason: str
) -> None:
    """Void a checkpoint of the locked shipment; one that is voided already stays. Raises CheckpointNotFound."""
    checkpoint = next((each for each in history.checkpoints if each.pk == checkpoint_id), None)
    if checkpoint is None:
        raise CheckpointNotFound(str(checkpoint_id))
    if checkpoint.voided_at is not None:
        return
    checkpoint.voided_at, checkpoint.void_reason = now, reason
    checkpoint.save(update_fields=["voided_at", "void_reason"])
    before = write.snapshot(shipment)
    if not effects.is_estimate(checkpoint):
        refold(shipment, history)
        effects.refold_flags(shipment, history, effects.meaning_of(checkpoint), extra=None)
    elif shipment.eta == checkpoint.occurred_at:
        shipment.eta = effects.current_estimate(shipment, history)
    _commit_checkpoint(
        shipment, history, EventType.VOIDED, before, by=by, now=now, checkpoint=checkpoint, reason=reason
    )


def _translate(observation: Observation, now: datetime) -> status_codes.Meaning | None:
    """Return what the observation means, None for a code that is in no table. Raises InvalidArgument."""
    meaning = _meaning_of(observation)
    if observation.classifier == _ACTUAL and not (meaning and meaning.may_lie_ahead):
        refuse_future(
            "occurredAt", observation.occurred_at, now=now, reason="What lies in the future cannot have happened"
        )
    return meaning


def _meaning_of(observation: Observation) -> status_codes.Meaning | None:
    if observation.state:
        if observation.state not in lifecycle.STATES:
            raise InvalidArgument("status", f"{observation.state!r} is not a state.", code="unknown_state")
        return status_codes.meaning_beside_state(observation.state, observation.code_system, observation.code)
    if observation.code:
        return status_codes.translate(observation.code_system, observation.code)
    if observation.classifier == _ACTUAL:
        raise InvalidArgument("status", "An actual checkpoint names a status or a code.", code="required")
    return status_codes.Meaning(state="delivered", is_estimate=True)


def _state_of(
    meaning: status_codes.Meaning | None,
    shipment: Shipment,
    place: Location | None,
    observation: Observation,
    now: datetime,
) -> str:
    """Return the state that is stored for a meaning: empty for none, and for an appointment that lies ahead."""
    if meaning is None:
        return ""
    if meaning.is_appointment and observation.occurred_at > now:
        return ""
    if meaning.state_elsewhere and effects.is_at_destination(shipment, place) is False:
        return meaning.state_elsewhere
    return meaning.state or ""


def _apply(
    shipment: Shipment, history: History, checkpoint: Checkpoint, meaning: status_codes.Meaning | None
) -> str:
    """Apply the observation to the locked, unsaved shipment, and return the checkpoint's outcome."""
    if meaning is None:
        return Checkpoint.Outcome.ANOMALOUS  # an unknown code: stored and shown, never guessed
    if status_fold.is_before_any_booking(checkpoint.occurred_at, shipment.created_at):
        return Checkpoint.Outcome.ANOMALOUS
    if checkpoint.classifier != _ACTUAL or meaning.is_estimate:
        return effects.apply_estimate(shipment, history, checkpoint, meaning)
    effects.refold_flags(shipment, history, meaning, extra=checkpoint)
    if not checkpoint.state and not meaning.delivered_after:
        return Checkpoint.Outcome.APPLIED if meaning.opens_flag or meaning.clears_flag else Checkpoint.Outcome.LATE
    before = (shipment.status, shipment.delivered_at)
    folded = refold(shipment, history, extra=checkpoint)
    if checkpoint.pk not in folded.applied:
        return Checkpoint.Outcome.LATE if meaning.delivered_after else Checkpoint.Outcome.ANOMALOUS
    is_newest = folded.newest == (checkpoint.occurred_at, status_fold.RANK[checkpoint.state or "delivered"])
    if is_newest or (shipment.status, shipment.delivered_at) != before:
        return Checkpoint.Outcome.APPLIED
    return Checkpoint.Outcome.LATE


def refold(
    shipment: Shipment, history: History, *, extra: Checkpoint | None = None, without_seq: int | None = None
) -> status_fold.FoldResult:
    """Set status, effective and delivery time from all commands and checkpoints that are not voided.

    `extra` is a checkpoint that is not stored yet; `without_seq` the `seq` of a command that is being voided.
    """
    checkpoints = _counting(shipment, history)
    if extra is not None:
        checkpoints.append(extra)
    folded = status_fold.fold(
        history.start_status,
        history.started_at,
        [
            *(
                status_fold.FoldEntry(each.pk, state, each.occurred_at, is_command=False)
                for each in checkpoints
                if (state := each.state or _delivered_by(each, checkpoints, shipment))
            ),
            *history.counting_commands(without_seq),
        ],
    )
    shipment.status = folded.status
    shipment.effective_at = folded.effective_at
    shipment.delivered_at = folded.delivered_at
    return folded


def _counting(shipment: Shipment, history: History) -> list[Checkpoint]:
    """Return the stored observations that count for the status."""
    return [
        checkpoint
        for checkpoint in history.counting_checkpoints()
        if checkpoint.classifier == _ACTUAL
        and (checkpoint.state or checkpoint.code in status_codes.CODES_AFTER_DELIVERY)
        and not status_fold.is_before_any_booking(checkpoint.occurred_at, shipment.created_at)
    ]


def _delivered_by(checkpoint: Checkpoint, all_of_it: list[Checkpoint], shipment: Shipment) -> str:
    """Return `delivered` for a code that says so after another one, observed at the destination before."""
    meaning = status_codes.translate(checkpoint.code_system, checkpoint.code)
    is_delivery = meaning is not None and any(
        (each.code_system, each.code) == (checkpoint.code_system, meaning.delivered_after)
        and each.occurred_at <= checkpoint.occurred_at
        and effects.is_at_destination(shipment, each.location)
        for each in all_of_it
    )
    return "delivered" if is_delivery else ""


def _commit_checkpoint(
    shipment: Shipment,
    history: History,
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
    if "flags" in new:
        history.flag_changes.append((kind, now, shipment.flags))
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
