"""What is stored of the past of shipments, as far as observations are judged by it."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from django.db.models import Q

from shipments.domain.status_fold import FoldEntry
from shipments.models import Checkpoint, EventType, Shipment, ShipmentEvent

_COMMANDS: Final = (EventType.TRANSITIONED, EventType.VOIDED)
_COLUMNS: Final = (
    "shipment_id", "type", "pk", "seq", "status", "recorded_at", "effective_at", "data__voided__seq",
    "data__changes__flags",
)  # fmt: skip
# Of any list an empty one is a part. Not `has_key`: slow_queries takes its operator `?` for a parameter.
_HOLDS_FLAGS: Final[Mapping[str, object]] = {"flags": []}
_UNKNOWN: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class History:
    """The past of one shipment, whose row is locked: its start, checkpoints by `seq`, commands and flags."""

    start_status: str = ""
    started_at: datetime = _UNKNOWN
    checkpoints: list[Checkpoint] = field(default_factory=list)
    # `(seq, entry)` of each accepted command, and the `seq` of each event that was voided.
    commands: list[tuple[int, FoldEntry]] = field(default_factory=list)
    voided_seqs: set[int] = field(default_factory=set)
    # `(type of the event, recorded_at, all open flags after it)`.
    flag_changes: list[tuple[str, datetime, list[dict[str, Any]]]] = field(default_factory=list)

    def counting_commands(self, without_seq: int | None) -> list[FoldEntry]:
        """Return the accepted commands that no event has voided, and not that with the number `without_seq`."""
        voided = {*self.voided_seqs, without_seq}
        return [entry for seq, entry in self.commands if seq not in voided]

    def counting_checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints that are not voided."""
        return [checkpoint for checkpoint in self.checkpoints if checkpoint.voided_at is None]

    def _add_event(self, row: Sequence[Any]) -> None:
        _, kind, pk, seq, status, recorded_at, effective_at, voided_seq, flags = row
        if seq == 1:
            self.start_status, self.started_at = status, recorded_at
        if kind == EventType.TRANSITIONED:
            self.commands.append((seq, FoldEntry(pk, status, effective_at, is_command=True)))
        elif kind == EventType.VOIDED and voided_seq is not None:
            self.voided_seqs.add(voided_seq)
        if flags is not None:
            self.flag_changes.append((kind, recorded_at, flags))


class HistoryCache:
    """The histories of shipments whose rows the caller's transaction has locked, each read once.

    Who changes a shipment keeps its history up to date, or forgets it; so does who rolls a change back.
    """

    def __init__(self) -> None:
        self._histories: dict[uuid.UUID, History] = {}

    def load(self, shipment_ids: Iterable[uuid.UUID]) -> None:
        """Read the histories of many shipments, in two queries."""
        ids = list(shipment_ids)
        histories: dict[uuid.UUID, History] = defaultdict(History)
        checkpoints = Checkpoint.objects.filter(shipment_id__in=ids).select_related("location").order_by("seq")
        for checkpoint in checkpoints:
            histories[checkpoint.shipment_id].checkpoints.append(checkpoint)
        events = ShipmentEvent.objects.filter(shipment_id__in=ids).filter(
            Q(seq=1) | Q(type__in=_COMMANDS) | Q(data__changes__contains=_HOLDS_FLAGS)
        )
        for row in events.order_by("seq").values_list(*_COLUMNS):
            histories[row[0]]._add_event(row)  # noqa: SLF001  of this module
        self._histories.update(histories)

    def of(self, shipment: Shipment) -> History:
        """Return the history of a locked shipment: read now, unless it was read before."""
        if shipment.pk not in self._histories:
            self.load([shipment.pk])
        return self._histories[shipment.pk]

    def forget(self, shipment_id: uuid.UUID | None = None) -> None:
        """Read the history of a shipment, or of all of them, anew when it is needed again."""
        if shipment_id is None:
            self._histories.clear()
        else:
            self._histories.pop(shipment_id, None)
