"""The worker side of background exports: write files, requeue stalled jobs, expire old files."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import Error, connection, transaction

from exports.background import export_jobs, file_store, job_queue, jobs
from exports.background.jobs import AttemptSuperseded, ShuttingDown
from exports.models import Export
from exports.reports import execution, format_registry, report_query, run_recorder
from exports.reports.definitions import REPORTS
from exports.reports.format_registry import Dataset
from exports.reports.run_recorder import RunRecorder
from monitoring import clock, disks
from shipments.auth.subjects import Forbidden, Subject
from shipments.parsing.query_parameters import InvalidFields

log: Final = structlog.get_logger("exports")
_PROGRESS_SECONDS: Final = 0.5
State = Export.State


def work_batch() -> int:
    """Write the export whose turn it is; return 0 where none is queued."""
    return job_queue.work_batch(export_jobs.JOB_TYPE, _run_attempt, done=0, total=None, run_id=uuid.uuid4())


def requeue_stalled_batch() -> int:
    """Requeue exports whose worker was killed and return how many."""
    return job_queue.requeue_stalled_batch(export_jobs.JOB_TYPE, _reset_stalled, export_jobs.publish_progress)


def _reset_stalled(export: Export) -> None:
    export.done = 0
    if export.run_id:
        run_recorder.fail_stale(export.run_id, clock.now())


def expire_batch(now: datetime) -> int:
    """Expire up to 100 exports past `expires_at`, remove their files and orphaned ones, and return how many."""
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
    except job_queue.REPEATED:
        raise
    except Exception as error:
        log.exception("export failed", export=str(export.pk))
        _store_failure(export, error)


def _write_file(export: Export, by: Subject) -> None:
    """Write the file and store its name, size and hash.

    Raises AttemptSuperseded where the job was cancelled meanwhile, Forbidden, InvalidFields, OSError, and what the
    database and the format raise.
    """
    report, file_format = REPORTS[export.report], format_registry.get(export.format)
    if file_format is None:
        raise report_query.parameter_error("format", "invalid", "This format no longer exists.")
    report.require(by)
    query = report_query.parse(report, by, export_jobs.to_query_dict(export.filters))
    dataset = execution.open_dataset(query, file_format)
    recorder = RunRecorder(
        by=by, report=report.name, format=file_format.name, filters=query.raw_values, rows=dataset.reader.count,
        id=export.run_id or uuid.uuid4(), export_id=export.pk,
    )  # fmt: skip
    outcome = "failed"
    try:
        recorder.start()
        connection.close()  # writing takes minutes and needs none
        with _progress_reported(export, dataset, recorder):
            stored_file = file_store.write(
                f"{export.pk}-{export.attempt}.{file_format.name}", file_format.write(dataset)
            )
        _finish(export, stored_file, recorder)
        outcome = "done"
    except BaseException:
        if dataset.reader.cancelled.is_set():
            if job_queue.is_shutting_down():
                raise ShuttingDown from None
            outcome = "cancelled"
            raise AttemptSuperseded from None
        raise
    finally:
        dataset.reader.close()
        if outcome != "done":
            recorder.finish(outcome, sent=0)


@contextmanager
def _progress_reported(export: Export, dataset: Dataset, recorder: RunRecorder) -> Iterator[None]:
    """Publish progress twice a second from a thread, which also cancels the COPY where the export was cancelled."""
    finished = threading.Event()
    reporter = threading.Thread(
        target=_report_progress, args=(export, dataset, recorder, finished), name="export progress", daemon=True
    )
    reporter.start()
    try:
        yield
    finally:
        finished.set()
        reporter.join()


def _report_progress(export: Export, dataset: Dataset, recorder: RunRecorder, finished: threading.Event) -> None:
    try:
        while True:
            try:
                if job_queue.is_shutting_down() or not _store_progress(export, dataset):
                    dataset.reader.cancel()
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
    """Store and publish the number of written rows; False where this is no longer the current attempt."""
    export.done, export.total = dataset.reader.rows_read, dataset.reader.count
    if not jobs.current_attempt(export_jobs.JOB_TYPE, export).update(done=export.done, total=export.total):
        return False
    export_jobs.publish_progress(export)
    return True


def _finish(export: Export, stored_file: file_store.StoredFile, recorder: RunRecorder) -> None:
    """Store the file's name and the end of the run, in one transaction; raises AttemptSuperseded."""
    now, rows = clock.now(), recorder.rows
    with transaction.atomic():
        updated = jobs.current_attempt(export_jobs.JOB_TYPE, export).update(
            state=State.SUCCEEDED, done=rows, total=rows, file=stored_file.name, size=stored_file.size,
            sha256=stored_file.sha256, finished_at=now, expires_at=now + timedelta(seconds=settings.EXPORT_KEEP),
        )  # fmt: skip
        if updated:
            recorder.store_success(sent=stored_file.size)
    if not updated:
        file_store.remove(stored_file.name)
        raise AttemptSuperseded
    export.refresh_from_db()
    export_jobs.publish_progress(export)


def _store_failure(export: Export, error: Exception) -> None:
    """Store and publish that the export failed; a superseded attempt only publishes the current state."""
    if not isinstance(error, AttemptSuperseded):
        if not isinstance(error, InvalidFields | Forbidden):
            log.error("export failed", export=str(export.pk), error=repr(error))
        jobs.current_attempt(export_jobs.JOB_TYPE, export).update(
            state=State.FAILED, error=_failure_text(error)[:300], finished_at=clock.now()
        )
    export.refresh_from_db()
    export_jobs.publish_progress(export)


def _failure_text(error: Exception) -> str:
    """Return what the owner of the export is told."""
    if isinstance(error, InvalidFields):
        return str(error.errors[0]["message"])
    if isinstance(error, Forbidden):
        return str(error)
    if isinstance(error, OSError) and disks.is_full(error):
        return "The server's disk has no room for the file; order it again when the operators have made room."
    return "The file could not be written; the log of the workers says why."
