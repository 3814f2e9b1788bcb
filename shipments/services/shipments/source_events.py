"""What is reported; and which stored checkpoint a report repeats, or corrects."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import F

from shipments.auth.subjects import Subject
from shipments.models import Checkpoint, Location, Shipment
from shipments.services.shipments.places import Place

_CORRECTING: Final = "shipments:write"


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


class SourceEventConflict(Exception):
    """The source event is stored with other content, and the subject may not correct observations."""

    def __init__(self, observation: Observation, stored: Checkpoint) -> None:
        super().__init__(
            f"The event {observation.source_event_id!r} of {observation.source!r} is stored with other content"
            f" (checkpoint {stored.pk}); correcting it needs {_CORRECTING}."
        )


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is stored of a report already: the checkpoint that it repeats, or else the one that it corrects."""

    repeated: Checkpoint | None = None
    corrected: Checkpoint | None = None


def find_earlier(
    shipment: Shipment, observation: Observation, place: Location | None, *, supersedes: uuid.UUID | None
) -> Earlier:
    """Find what the locked shipment has of a report: by its id, and without one by source, content, time and place.

    A report that repeats what was voided repeats it still: a feed that sends its whole history again does not undo
    a correction. `supersedes` names a checkpoint that is to be replaced whatever it says. The outcome of a
    repeated checkpoint is `duplicate` (in memory) unless it has the same id and still counts.
    """
    stored = Checkpoint.objects.filter(shipment=shipment, source=observation.source)
    if supersedes is not None:
        stored = stored.filter(voided_at=None).exclude(pk=supersedes)
    if observation.source_event_id is None:
        same = stored.filter(classifier=observation.classifier, occurred_at=observation.occurred_at, location=place)
        return Earlier(_as_duplicate(_first_that_says(observation, same.order_by("-seq"))))
    of_event = stored.filter(source_event_id=observation.source_event_id)
    told = list(of_event.order_by(F("voided_at").desc(nulls_first=True), "-seq"))
    same_place = [each for each in told if each.location_id == (place.pk if place else None)]
    repeated = _first_that_says(
        observation,
        (
            each
            for each in same_place
            if (each.classifier, each.occurred_at, each.note)
            == (observation.classifier, observation.occurred_at, observation.note)
        ),
    )
    if repeated is not None:
        return Earlier(repeated if repeated.voided_at is None else _as_duplicate(repeated))
    return Earlier(corrected=next((each for each in told if each.voided_at is None), None))


def check_may_correct(by: Subject, observation: Observation, earlier: Checkpoint) -> None:
    """Raise SourceEventConflict unless the subject may correct observations."""
    if not by.has_permission(_CORRECTING):
        raise SourceEventConflict(observation, earlier)


def _first_that_says(observation: Observation, checkpoints: Iterable[Checkpoint]) -> Checkpoint | None:
    """Return the first checkpoint with the observation's code, and with its state where it names one."""
    # With neither a state nor a code it is the estimate of the delivery, and stored as such.
    state = observation.state or ("" if observation.code else "delivered")
    code = (observation.code_system, observation.code)
    return next(
        (
            each
            for each in checkpoints
            if (each.code_system, each.code) == code and (each.state == state or not state)
        ),
        None,
    )


def _as_duplicate(checkpoint: Checkpoint | None) -> Checkpoint | None:
    if checkpoint is not None:
        checkpoint.outcome = Checkpoint.Outcome.DUPLICATE
    return checkpoint
