"""The workers' side of background exports: write one, take up those whose worker was killed, clear away."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

import psycopg
import structlog
from django.conf import settings
from django.db import Error, connection, transaction
from django.utils import timezone
from procrastinate.exceptions import ProcrastinateException

from exports.background import export_jobs, file_store, jobs
from exports.background.jobs import AttemptSuperseded
from exports.models import Export
from exports.reports import execution, format_registry, report_query, run_recorder
from exports.reports.definitions import REPORTS
from exports.reports.format_registry import Dataset
from exports.reports.run_recorder import RunRecorder
from shipments.auth.subjects import Forbidden, Subject
from shipments.parsing.query_parameters import InvalidFields

log: Final = structlog.get_logger("exports")
MAX_ATTEMPTS: Final = jobs.MAX_ATTEMPTS
_PROGRESS_SECONDS: Final = 0.5
State = Export.State


def work_batch() -> int:
    """Write what is queued, one after the other, and return how many were taken."""
    return jobs.work_batch(export_jobs.JOB_TYPE)


def request_shutdown() -> None:
    """Make the writing of this process stop; what it had begun is begun again by the next one."""
    jobs.request_shutdown()


def write(export_id: uuid.UUID) -> None:
    """Write one export from the beginning, unless somebody else does or it was cancelled."""
    with jobs.claimed(export_jobs.JOB_TYPE, export_id, done=0, total=None, run_id=uuid.uuid4()) as export:
        if export is not None:
            _run_attempt(export)


def requeue_stalled_batch() -> int:
    """Queue again what is running without a worker, which was killed; returns how many."""
    return jobs.requeue_stalled_batch(export_jobs.JOB_TYPE, _reset_stalled)


def _reset_stalled(export: Export) -> None:
    export.done = 0
    if export.run_id:
        run_recorder.fail_stale(export.run_id, timezone.now())


def expire_batch(now: datetime) -> int:
    """Let old exports expire and remove their files, and files that nobody knows; returns how many."""
    with transaction.atomic():
        old = Export.objects.filter(state=State.SUCCEEDED, expires_at__lt=now).select_for_update(skip_locked=True)
        expired = list(old[:100])
        for export in expired:
            export.state = State.EXPIRED
            export.save(update_fields=["state"])
    for export in expired:
        file_store.remove(export.file)
        export_jobs.publish_progress(export)
    live_names = set(Export.objects.filter(state=State.SUCCEEDED).values_list("file", flat=True))
    return len(expired) + file_store.remove_orphans(live_names)


def _run_attempt(export: Export) -> None:
    try:
        _write_file(export, jobs.subject_of(export))
    except (AttemptSuperseded, Forbidden, InvalidFields, OSError) as error:
        _store_failure(export, error)
    except (Error, psycopg.Error, ProcrastinateException) as error:
        # Left as it stands: without its lock it is taken up again, when the database answers.
        log.warning("export broke off", export=str(export.pk), error=type(error).__name__)
    except Exception as error:
        log.exception("export failed", export=str(export.pk))
        _store_failure(export, error)


def _write_file(export: Export, by: Subject) -> None:
    """Write the file and store what it is; raises whatever stops it."""
    report, file_format = REPORTS[export.report], format_registry.get(export.format)
    if file_format is None:
        raise report_query.parameter_error("format", "invalid", "There is no such format any more.")
    report.require(by)
    query = report_query.parse(report, by, export_jobs.to_query_dict(export.filters))
    dataset = execution.open_dataset(query, file_format)
    recorder = RunRecorder(
        by=by, report=report.name, format=file_format.name, filters=query.raw_values, rows=dataset.reading.count,
        id=export.run_id or uuid.uuid4(), export_id=export.pk,
    )  # fmt: skip
    outcome, size = "failed", 0
    try:
        recorder.start()
        with _progress_reported(export, dataset, recorder):
            stored_file = file_store.write(
                f"{export.pk}-{export.attempt}.{file_format.name}", file_format.write(dataset)
            )
        size = stored_file.size
        _finish(export, stored_file, dataset.reading.count)
        outcome = "done"
    except BaseException:
        outcome = "cancelled" if dataset.reading.cancelled.is_set() else "failed"
        if outcome == "cancelled":
            raise AttemptSuperseded from None
        raise
    finally:
        dataset.reading.close()
        recorder.finish(outcome, sent=size)


@contextmanager
def _progress_reported(export: Export, dataset: Dataset, recorder: RunRecorder) -> Iterator[None]:
    """Tell twice a second how far the writing is, and stop it where the export was cancelled."""
    finished = threading.Event()
    watcher = threading.Thread(
        target=_report_progress, args=(export, dataset, recorder, finished), name="export watch", daemon=True
    )
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()


def _report_progress(export: Export, dataset: Dataset, recorder: RunRecorder, finished: threading.Event) -> None:
    try:
        while True:
            try:
                if jobs.is_shutting_down() or not _store_progress(export, dataset):
                    dataset.reading.cancel()
                    return
                recorder.heartbeat()
            except Error as error:
                log.warning("progress not stored", export=str(export.pk), error=type(error).__name__)
                connection.close()
            if finished.wait(_PROGRESS_SECONDS):
                return
    finally:
        connection.close()


def _store_progress(export: Export, dataset: Dataset) -> bool:
    """Store and tell how many rows are written; False where this attempt is not wanted any more."""
    export.done, export.total = dataset.reading.rows_read, dataset.reading.count
    if not jobs.current_attempt(export_jobs.JOB_TYPE, export).update(done=export.done, total=export.total):
        return False
    export_jobs.publish_progress(export)
    return True


def _finish(export: Export, stored_file: file_store.StoredFile, rows: int) -> None:
    now = timezone.now()
    updated = jobs.current_attempt(export_jobs.JOB_TYPE, export).update(
        state=State.SUCCEEDED, done=rows, total=rows, file=stored_file.name, size=stored_file.size,
        sha256=stored_file.sha256, finished_at=now, expires_at=now + timedelta(seconds=settings.EXPORT_KEEP),
    )  # fmt: skip
    if not updated:
        file_store.remove(stored_file.name)
        raise AttemptSuperseded
    export.refresh_from_db()
    export_jobs.publish_progress(export)


def _store_failure(export: Export, error: Exception) -> None:
    """Store that the export failed; one that was cancelled is that already."""
    if not isinstance(error, AttemptSuperseded):
        message = error.errors[0]["message"] if isinstance(error, InvalidFields) else str(error)
        is_expected = isinstance(error, InvalidFields | Forbidden)
        text = message if is_expected else "It could not be written; the log of the workers says why."
        if not is_expected:
            log.error("export failed", export=str(export.pk), error=repr(error))
        jobs.current_attempt(export_jobs.JOB_TYPE, export).update(
            state=State.FAILED, error=text[:300], finished_at=timezone.now()
        )
    export.refresh_from_db()
    export_jobs.publish_progress(export)
