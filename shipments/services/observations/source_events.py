"""What is reported; and which stored checkpoint a report repeats, or corrects."""

import uuid
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shipments.auth.subjects import Subject
from shipments.models import Checkpoint, Location
from shipments.services.observations.histories import History
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
    history: History, observation: Observation, place: Location | None, *, supersedes: uuid.UUID | None
) -> Earlier:
    """Find what the locked shipment has of a report: by its id, and without one by source, content, time and place.

    A report that repeats what was voided repeats it still: a feed that sends its whole history again does not undo
    a correction. `supersedes` names a checkpoint that is to be replaced whatever it says. The outcome of a
    repeated checkpoint is `duplicate` (in memory) unless it has the same id and still counts.
    """
    stored = [each for each in reversed(history.checkpoints) if each.source == observation.source]
    if supersedes is not None:
        stored = [each for each in stored if each.voided_at is None and each.pk != supersedes]
    same = [each for each in stored if _has_content(each, observation, place)]
    if observation.source_event_id is None:
        return Earlier(_as_duplicate(next(iter(same), None)))
    repeated = [
        each
        for each in same
        if each.source_event_id == observation.source_event_id and each.note == observation.note
    ]
    if counting := next((each for each in repeated if each.voided_at is None), None):
        return Earlier(counting)
    if repeated:
        return Earlier(_as_duplicate(max(repeated, key=lambda each: (each.voided_at, each.seq))))
    corrected = (
        each for each in stored if each.source_event_id == observation.source_event_id and each.voided_at is None
    )
    return Earlier(corrected=next(corrected, None))


def check_may_correct(by: Subject, observation: Observation, earlier: Checkpoint) -> None:
    """Raise SourceEventConflict unless the subject may correct observations."""
    if not by.has_permission(_CORRECTING):
        raise SourceEventConflict(observation, earlier)


def _has_content(stored: Checkpoint, observation: Observation, place: Location | None) -> bool:
    # With neither a state nor a code it is the estimate of the delivery, and stored as such.
    state = observation.state or ("" if observation.code else "delivered")
    return (
        stored.occurred_at == observation.occurred_at
        and stored.code == observation.code
        and stored.code_system == observation.code_system
        and stored.classifier == observation.classifier
        and stored.location_id == (place.pk if place else None)
        and (not state or stored.state == state)
    )


def _as_duplicate(checkpoint: Checkpoint | None) -> Checkpoint | None:
    if checkpoint is None:
        return None
    duplicate = copy(checkpoint)
    duplicate.outcome = Checkpoint.Outcome.DUPLICATE
    return duplicate
