"""The worker side of imports: apply files chunk by chunk, requeue stalled imports, purge old reports.

The shipments that a chunk changes, the report on its rows and the progress of the import are one transaction: after
a crash no row is applied twice.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F

from exports.background import job_queue, jobs
from exports.background.jobs import AttemptSuperseded, ShuttingDown
from exports.file_imports import columns, import_jobs, row_processing, table
from exports.file_imports.columns import ColumnMap
from exports.file_imports.row_processing import CHUNK_ROWS, ChunkReader
from exports.models import Import, ImportedFile, ImportedRow
from monitoring import clock
from shipments import intake
from shipments.auth.subjects import Forbidden, Subject
from shipments.intake import ImportRow
from shipments.parsing.query_parameters import InvalidFields

log: Final = structlog.get_logger("exports")
State = Import.State


def work_batch() -> int:
    """Apply the import whose turn it is, from its stored progress on; return 0 where none is queued."""
    return job_queue.work_batch(import_jobs.JOB_TYPE, _run_attempt)


def requeue_stalled_batch() -> int:
    """Requeue imports whose worker was killed and return how many."""
    return job_queue.requeue_stalled_batch(import_jobs.JOB_TYPE, _end_exhausted, import_jobs.publish_progress)


def purge_batch(now: datetime) -> int:
    """Delete up to 10 finished imports older than `IMPORT_KEEP`, with their reports, and return how many."""
    old = Import.objects.filter(created_at__lt=now - timedelta(seconds=settings.IMPORT_KEEP))
    import_ids = list(
        old.exclude(state__in=jobs.OPEN_STATES).order_by("created_at").values_list("pk", flat=True)[:10]
    )
    with transaction.atomic():
        ImportedRow.objects.filter(import_id__in=import_ids).delete()
        Import.objects.filter(pk__in=import_ids).delete()
    return len(import_ids)


def _end_exhausted(import_job: Import) -> None:
    """Delete the file of an import that has no attempts left, and audit its failure; others need no cleanup."""
    if import_job.state == State.FAILED:
        ImportedFile.objects.filter(pk=import_job.pk).delete()
        details = {**import_jobs.counts(import_job), "why": "It had no attempts left."}
        import_jobs.record_audit(
            import_job, by=_audit_subject(import_job), now=clock.now(), outcome="failed", details=details
        )


def _run_attempt(import_job: Import) -> None:
    try:
        _apply_chunks(import_job)
    except AttemptSuperseded:
        pass  # cancelled, or continued by another process
    except (Forbidden, InvalidFields) as error:
        _store_failure(import_job, error.errors[0]["message"] if isinstance(error, InvalidFields) else str(error))
    except job_queue.REPEATED:
        raise
    except Exception:
        log.exception("import failed", job=str(import_job.pk))
        _store_failure(import_job, "The file could not be applied; the log of the workers says why.")


def _apply_chunks(import_job: Import) -> None:
    by = jobs.subject_of(import_job)
    by.require("shipments:write")
    if not import_job.start_audited:
        with transaction.atomic():
            import_jobs.record_audit(import_job, by=by, now=clock.now(), outcome="started", details={})
            jobs.current_attempt(import_jobs.JOB_TYPE, import_job).update(start_audited=True)
    import_jobs.publish_progress(import_job)
    column_map = columns.match_header(import_job.header)
    row_reader = ChunkReader(column_map, decimal_marks=import_job.decimal_marks)
    rows = table.iter_packed_rows(bytes(ImportedFile.objects.get(pk=import_job.pk).packed))
    for chunk in row_reader.chunks(rows, CHUNK_ROWS, skip=import_job.done):
        if job_queue.is_shutting_down():
            raise ShuttingDown
        _apply_chunk(import_job, chunk, column_map)
        import_job.refresh_from_db(fields=["done", *row_processing.COUNTERS])
        import_jobs.publish_progress(import_job)
    with transaction.atomic():
        finished = jobs.current_attempt(import_jobs.JOB_TYPE, import_job).select_for_update().first()
        if finished is None:
            raise AttemptSuperseded
        import_jobs.finish(finished, by=by, now=clock.now(), state=State.SUCCEEDED)
    import_jobs.publish_progress(finished)


def _apply_chunk(import_job: Import, chunk: Sequence[ImportRow], column_map: ColumnMap) -> None:
    """Apply rows, store their results and the progress, in one transaction.

    Raises Forbidden, AttemptSuperseded, intake.OutcomeUnknown, and what the database raises.
    """
    # Its permissions may have changed since the last chunk.
    by: Subject = jobs.subject_of(import_job)
    now = clock.now()

    def write() -> None:
        results = intake.import_rows(by=by, now=now, rows=chunk, dry_run=False)
        ImportedRow.objects.bulk_create(
            ImportedRow(import_id=import_job.pk, **row_processing.serialize_result(each, column_map))
            for each in results
        )
        increments: dict[str, Any] = {
            name: F(name) + count for name, count in row_processing.count_outcomes(results).items()
        }
        if not jobs.current_attempt(import_jobs.JOB_TYPE, import_job).update(
            done=F("done") + len(chunk), **increments
        ):
            raise AttemptSuperseded

    intake.run_in_transaction(write)


def _store_failure(import_job: Import, error: str) -> None:
    with transaction.atomic():
        locked_job = jobs.current_attempt(import_jobs.JOB_TYPE, import_job).select_for_update().first()
        if locked_job is None:
            return
        import_jobs.finish(
            locked_job, by=_audit_subject(import_job), now=clock.now(), state=State.FAILED, error=error
        )
    import_jobs.publish_progress(locked_job)


def _audit_subject(import_job: Import) -> Subject:
    """Return a subject for audit entries of an import whose user may have lost access."""
    return Subject(
        organization_id=import_job.organization_id, role="system", user_id=import_job.owner_id, name="import",
        address=import_job.address, request_id=import_job.request_id,
    )  # fmt: skip
