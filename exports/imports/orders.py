"""Imports as those who send them see them: order, look, cancel, read the report."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from exports import jobs, progress, signals
from exports.imports import columns
from exports.imports.table import Table
from exports.jobs import OPEN, Line
from exports.models import Import, ImportedFile, ImportedRow
from shipments import intake, representation
from shipments.access import Subject

LINE: Final = Line("imports", "import", Import, task="exports.import", lock=0x4652494D)  # "FRIM"
MOST_ROWS: Final = 1000
_LISTED: Final = 50
_ENTRY: Final = ("row", "reference", "outcome", "changed", "errors", "warnings")


def order(*, by: Subject, now: datetime, table: Table, filename: str, size: int) -> Import:
    """This will store a file that was read and hand it to the workers, in one transaction.

    Raises Forbidden, Invalid (its columns), TooMany.
    """
    by.require("shipments:write")
    columns.find(table.header)
    owner = jobs.owner_of(by)
    with transaction.atomic():
        jobs.admit(LINE, owner)
        made = Import.objects.create(
            organization_id=by.organization_id, owner_id=owner, key_id=by.key_id, address=by.address,
            request_id=by.request_id, filename=filename[:120], kind=table.kind, size=size, sha256=table.sha256,
            header=table.header, decimal_comma=table.decimal_comma, total=table.count, created_at=now,
        )  # fmt: skip
        ImportedFile.objects.create(import_id=made.pk, packed=table.packed)
        jobs.hand_over(LINE, made)
    return made


def of(viewer: Subject) -> list[Import]:
    """This will return the viewer's own imports, newest first."""
    return list(jobs.own(LINE, viewer).order_by("-created_at", "-id")[:_LISTED])


def find(viewer: Subject, import_id: uuid.UUID) -> Import | None:
    """This will return one of the viewer's own imports, None where there is none."""
    found: Import | None = jobs.own(LINE, viewer).filter(pk=import_id).first()
    return found


def cancel(*, by: Subject, now: datetime, import_id: uuid.UUID) -> bool:
    """This will end an import that is under way; what it has applied stays. False: there is none."""
    with transaction.atomic():
        found = jobs.own(LINE, by).select_for_update().filter(pk=import_id).first()
        if found is None:
            return False
        if found.state not in OPEN:
            return True
        end(found, by=by, now=now, state=Import.State.CANCELLED)
    tell(found)
    return True


def end(order: Import, *, by: Subject, now: datetime, state: str, error: str = "") -> None:
    """This will store how an import ended, write it into the audit and let go of its file.

    The caller holds the row's lock, and its transaction.
    """
    order.state, order.error, order.finished_at = state, error[:300], now
    order.save(update_fields=["state", "error", "finished_at"])
    ImportedFile.objects.filter(pk=order.pk).delete()
    outcome = {Import.State.SUCCEEDED: "done", Import.State.CANCELLED: "cancelled"}.get(
        Import.State(state), "failed"
    )
    audit(order, by=by, now=now, outcome=outcome, told={**counts(order), **({"why": error} if error else {})})


def audit(order: Import, *, by: Subject, now: datetime, outcome: str, told: Mapping[str, Any]) -> None:
    """This will write one entry on an import, in the caller's transaction."""
    about = {"filename": order.filename, "format": order.kind, "rows": order.total, "sha256": order.sha256}
    intake.record_audit(
        by=by, now=now, action="import", entity="import", entity_id=order.pk, after=about | dict(told),
        outcome=outcome,
    )  # fmt: skip


def rows(order: Import, *, after: int, limit: int, outcome: str | None) -> list[dict[str, Any]]:
    """This will return the report's entries behind a row, in the file's order."""
    found = ImportedRow.objects.filter(import_id=order.pk, row__gt=after).order_by("row")
    if outcome:
        found = found.filter(outcome=outcome)
    return [dict(each) for each in found.values(*_ENTRY)[:limit]]


def counts(order: Import) -> dict[str, int]:
    """This will return how many rows ended how."""
    return {
        "created": order.created, "updated": order.updated, "unchanged": order.unchanged, "failed": order.failed,
    }  # fmt: skip


def shown(order: Import) -> dict[str, Any]:
    """This will return the JSON of an import."""
    return {
        "id": str(order.pk),
        "dryRun": False,
        "state": order.state,
        "progress": {"done": order.done, "total": order.total},
        "counts": counts(order),
        "filename": order.filename,
        "format": order.kind,
        "size": order.size,
        "sha256": order.sha256,
        "columns": order.header,
        "createdAt": representation.instant(order.created_at),
        "startedAt": representation.instant(order.started_at),
        "finishedAt": representation.instant(order.finished_at),
        "error": order.error or None,
    }


def tell(order: Import) -> None:
    """This will tell whoever listens how far an import is."""
    signals.import_progressed.send_robust(
        sender=Import,
        import_id=order.pk,
        value=progress.IMPORTS.value(order.pk, state=order.state, done=order.done, total=order.total),
        version=progress.version(attempt=order.attempt, state=order.state, done=order.done),
    )
