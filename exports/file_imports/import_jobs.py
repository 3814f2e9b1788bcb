"""Imports as their owner sees them: create, list, get, cancel, read the report; and how an import ends."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from exports import signals
from exports.background import jobs, progress
from exports.background.jobs import OPEN_STATES, JobType
from exports.file_imports import columns
from exports.file_imports.table import ImportTable
from exports.models import Import, ImportedFile, ImportedRow
from shipments import intake, representation
from shipments.auth.subjects import Subject

JOB_TYPE: Final = JobType("imports", Import, lock_namespace=0x4652494D)  # "FRIM"
MAX_PAGE_SIZE: Final = 1000
_LIST_LIMIT: Final = 50
_ROW_FIELDS: Final = ("row", "reference", "outcome", "changed", "errors", "warnings")


def create(*, by: Subject, now: datetime, table: ImportTable, filename: str, size: int) -> Import:
    """Store a parsed file and its job, in one transaction; the job's row is its place in the queue.

    `size` is that of the upload in bytes. Raises Forbidden, InvalidFields (the columns), TooManyJobs.
    """
    by.require("shipments:write")
    columns.match_header(table.header)
    owner = jobs.require_user_id(by)
    with transaction.atomic():
        jobs.lock_and_check_quota(JOB_TYPE, owner)
        import_job = Import.objects.create(
            organization_id=by.organization_id, owner_id=owner, key_id=by.key_id, address=by.address,
            request_id=by.request_id, filename=filename[:120], kind=table.kind, size=size, sha256=table.sha256,
            header=table.header, decimal_marks=table.decimal_marks, total=table.count, created_at=now,
        )  # fmt: skip
        ImportedFile.objects.create(import_id=import_job.pk, packed=table.packed)
    return import_job


def list_own(viewer: Subject) -> list[Import]:
    """Return the viewer's own imports, newest first, at most 50."""
    return list(jobs.owned_by(JOB_TYPE, viewer).order_by("-created_at", "-id")[:_LIST_LIMIT])


def get_own(viewer: Subject, import_id: uuid.UUID) -> Import | None:
    """Return one of the viewer's own imports, None where there is none."""
    import_job: Import | None = jobs.owned_by(JOB_TYPE, viewer).filter(pk=import_id).first()
    return import_job


def cancel(*, by: Subject, now: datetime, import_id: uuid.UUID) -> bool:
    """Cancel an unfinished import; applied rows stay. Idempotent; False where there is none."""
    with transaction.atomic():
        import_job = jobs.owned_by(JOB_TYPE, by).select_for_update().filter(pk=import_id).first()
        if import_job is None:
            return False
        if import_job.state not in OPEN_STATES:
            return True
        finish(import_job, by=by, now=now, state=Import.State.CANCELLED)
    publish_progress(import_job)
    return True


def finish(import_job: Import, *, by: Subject, now: datetime, state: str, error: str = "") -> None:
    """Store and audit the end of an import, and delete its file.

    The caller holds the lock of the import's row and its transaction.
    """
    import_job.state, import_job.error, import_job.finished_at = state, error[:300], now
    import_job.save(update_fields=["state", "error", "finished_at"])
    ImportedFile.objects.filter(pk=import_job.pk).delete()
    outcome = {Import.State.SUCCEEDED: "done", Import.State.CANCELLED: "cancelled"}.get(
        Import.State(state), "failed"
    )
    record_audit(
        import_job,
        by=by,
        now=now,
        outcome=outcome,
        details={**counts(import_job), **({"why": error} if error else {})},
    )


def record_audit(
    import_job: Import, *, by: Subject, now: datetime, outcome: str, details: Mapping[str, Any]
) -> None:
    """Write one audit entry on an import, in the caller's transaction."""
    summary = {
        "filename": import_job.filename,
        "format": import_job.kind,
        "rows": import_job.total,
        "sha256": import_job.sha256,
    }
    intake.record_audit(
        by=by, now=now, action="import", entity="import", entity_id=import_job.pk, after=summary | dict(details),
        outcome=outcome,
    )  # fmt: skip


def list_rows(
    import_job: Import, *, after: int, limit: int, outcome: str | None, warned: bool | None
) -> list[dict[str, Any]]:
    """Return up to `limit` entries of the report after a row number, in the file's order.

    With an outcome only those with it; with `warned` only those with warnings, or only those without.
    """
    entries = ImportedRow.objects.filter(import_id=import_job.pk, row__gt=after).order_by("row")
    if outcome:
        entries = entries.filter(outcome=outcome)
    if warned is not None:
        entries = entries.exclude(warnings=[]) if warned else entries.filter(warnings=[])
    return [dict(each) for each in entries.values(*_ROW_FIELDS)[:limit]]


def counts(import_job: Import) -> dict[str, int]:
    """Return the number of rows by outcome."""
    return {
        "created": import_job.created,
        "updated": import_job.updated,
        "unchanged": import_job.unchanged,
        "failed": import_job.failed,
    }


def serialize(import_job: Import) -> dict[str, Any]:
    """Return the JSON of an import, without its rows."""
    return {
        "id": str(import_job.pk),
        "dryRun": False,
        "state": import_job.state,
        "progress": {"done": import_job.done, "total": import_job.total},
        "counts": counts(import_job),
        "warned": import_job.warned,
        "filename": import_job.filename,
        "format": import_job.kind,
        "size": import_job.size,
        "sha256": import_job.sha256,
        "columns": import_job.header,
        "createdAt": representation.instant(import_job.created_at),
        "startedAt": representation.instant(import_job.started_at),
        "finishedAt": representation.instant(import_job.finished_at),
        "error": import_job.error or None,
    }


def publish_progress(import_job: Import) -> None:
    """Send the `import_progressed` signal. Call it after the commit, with the stored values."""
    signals.import_progressed.send_robust(
        sender=Import,
        import_id=import_job.pk,
        value=progress.IMPORTS.payload(
            import_job.pk, state=import_job.state, done=import_job.done, total=import_job.total
        ),
        version=progress.version(attempt=import_job.attempt, state=import_job.state, done=import_job.done),
    )
