"""The write path: the only way to change a shipment that exists.

Lock the row, check, change the instance, commit the change:

    with write.locked_shipment(reference, by=by, expected_version=expected_version) as shipment:
        if nothing_to_do(shipment):
            return shipment
        shipment.status = …
        write.commit_change(shipment, EventType.TRANSITIONED, by=by, now=now, columns=("status",), changes=…)

Two places write shipments beside this module: `services/shipments/bookings.py` inserts new ones, and
`demo/loader.py` loads an empty organisation. tests/architecture/test_write_path.py holds that there is no third.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, TypedDict, Unpack

from django.db import transaction

from shipments import log, representation
from shipments.auth.subjects import Subject
from shipments.compiled_sql import one_shipment, writes
from shipments.domain import lifecycle
from shipments.domain.versions import Version
from shipments.models import EventType, Location, Shipment
from shipments.services import transactions

# What the audit calls the change that an event explains. Stored and hash-chained: an entry here never changes.
ACTION_OF: Final[Mapping[EventType, str]] = {
    EventType.CREATED: "create",
    EventType.TRANSITIONED: "transition",
    EventType.AMENDED: "update",
    EventType.DELETED: "delete",
    EventType.FLAGGED: "flag",
    EventType.UNFLAGGED: "unflag",
    EventType.OBSERVED: "observe",
    EventType.VOIDED: "void",
    EventType.PROVEN: "prove",
}
Values = Mapping[str, Any]


class ShipmentNotFound(Exception):
    """No such shipment, or not for this subject: the two look alike."""


class StaleWrite(Exception):
    """The shipment has changed since the caller read it; `seq` is its current one."""

    def __init__(self, seq: int) -> None:
        super().__init__("The shipment has changed since you read it.")
        self.seq = seq


class EventDetails(TypedDict, total=False):
    """What an event may say beside its changes."""

    effective_at: datetime
    location: Location | None
    note: str
    checkpoint: Values
    proof: Values
    voided: Values


@contextmanager
def locked_shipment(
    reference: str,
    *,
    by: Subject,
    expected_version: Version | None = None,
    with_related: bool = False,
    savepoint: bool = True,
) -> Iterator[Shipment]:
    """Open a transaction and yield the shipment, its row locked FOR UPDATE until that transaction ends.

    Only rows that the subject may see are found. `with_related` loads places and parties too, as `snapshot` needs
    them. Inside a caller's transaction the block is a savepoint; `savepoint=False` saves its two round trips, for
    a block that writes nothing before its last refusal. Leaving the block early writes nothing.
    Raises ShipmentNotFound, StaleWrite.
    """
    with transaction.atomic() if savepoint else transactions.atomic_or_joined():
        shipment = one_shipment.fetch_locked(by, reference, with_related=with_related)
        if shipment is None:
            raise ShipmentNotFound(reference)
        check_version(shipment, expected_version)
        yield shipment


def lock_shipments_in_order(references: Sequence[str], *, by: Subject) -> dict[str, uuid.UUID]:
    """Lock the rows until the caller's transaction ends, in ascending pk: two callers cannot deadlock.

    Return their ids by reference in upper case; references that name no shipment are left out.
    """
    rows = Shipment.objects.visible_to(by).with_references(references).order_by("pk")
    locked = rows.select_for_update(of=("self",)).values_list("reference", "pk")
    return {reference.upper(): pk for reference, pk in locked}


def check_version(shipment: Shipment, expected_version: Version | None) -> None:
    """Raise StaleWrite where the caller has read another version; None expects nothing.

    `locked_shipment` does so by itself; called alone where a replay is answered before the version counts.
    """
    current_version = Version.of(shipment.pk, shipment.seq, shipment.updated_at)
    if expected_version is not None and not expected_version.is_met_by(current_version):
        raise StaleWrite(shipment.seq)


# The caller holds the row lock: `shipment` comes from `locked_shipment`, and its block is still open.
# Called by services/shipments/{commands,flags,automatic_flags,proofs}.py, by services/observations/recording.py and
# voiding.py, and by nothing else.
# Covered by tests/shipments/services/: test_write.py (one statement; seq, event, audit), test_transactions.py (all
# or nothing), shipments/test_concurrent_commands.py (no gap in seq). tests/architecture/test_write_path.py holds
# that nothing else saves a shipment.
def commit_change(
    shipment: Shipment,
    kind: EventType,
    *,
    by: Subject,
    now: datetime,
    columns: tuple[str, ...],
    changes: Values,
    occurred_at: datetime | None = None,
    audit_before: Values | None = None,
    audit_after: Values | None = None,
    **details: Unpack[EventDetails],
) -> None:
    """Save the columns under `seq + 1`, with the event and the audit entry that explain it: one statement.

    `columns` are attribute names (`driver_id`). `changes` stands in the fields of the public snapshot and is shown
    to everybody who may see the shipment; `occurred_at` is `now` unless given. `audit_before` and `audit_after` are
    stored and hash-chained as they are. The surrounding transaction commits; the event is published after that.
    """
    shipment.underway_since = lifecycle.underway_since(
        shipment.status,
        assigned=shipment.driver_id is not None,
        before=shipment.underway_since,
        reassigned="driver" in changes,
        now=now,
    )
    with writes.batched_writes():
        _save_with_next_seq(shipment, now=now, columns=columns)
        log.record(shipment, type=kind, by=by, now=now, occurred_at=occurred_at or now, changes=changes, **details)
        log.record_audit(
            by=by, now=now, action=ACTION_OF[kind], entity="shipment", entity_id=shipment.reference,
            before=audit_before, after=audit_after,
        )  # fmt: skip


def snapshot(shipment: Shipment) -> representation.Json:
    """Return the public snapshot of an instance with its places and parties, saved or not, without a query."""
    row: dict[str, Any] = {}
    for column in representation.SHIPMENT_COLUMNS:
        value: Any = shipment
        for part in column.split("__"):
            value = None if value is None or part == "last_position" else getattr(value, part)
        row[column] = value
    return representation.snapshot(row)


def snapshot_diff(before: Values, after: Values) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields that differ between two snapshots: as they were, and as they are.

    Take both before `commit_change`, which counts `seq` and `updatedAt` on: an event says these itself.
    """
    changed = {field: value for field, value in after.items() if value != before[field]}
    return {field: before[field] for field in changed}, changed


def _save_with_next_seq(shipment: Shipment, *, now: datetime, columns: tuple[str, ...]) -> None:
    shipment.seq += 1
    shipment.updated_at = now
    writes.update(shipment, (*columns, "seq", "updated_at", "underway_since"))
