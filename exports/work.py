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

from exports import asking, files, formats, jobs, opening, orders, record
from exports.formats import Sheet
from exports.jobs import GivenUp
from exports.models import Export
from exports.record import Record
from exports.tables import REPORTS
from shipments.access import Forbidden, Subject
from shipments.selectors.parameters import Invalid

log: Final = structlog.get_logger("exports")
MOST_ATTEMPTS: Final = jobs.MOST_ATTEMPTS
_BEAT_SECONDS: Final = 0.5
State = Export.State


def work_batch() -> int:
    """This will write what is queued, one after the other, and return how many were taken."""
    return jobs.work_batch(orders.LINE)


def leave() -> None:
    """This will make the writing of this process stop; what it had begun is begun again by the next one."""
    jobs.leave()


def write(export_id: uuid.UUID) -> None:
    """This will write one export from the beginning, unless somebody else does or it was cancelled."""
    with jobs.begun(orders.LINE, export_id, done=0, total=None, run_id=uuid.uuid4()) as export:
        if export is not None:
            _attempt(export)


def rescue_batch() -> int:
    """This will queue again what is running without a worker, which was killed; returns how many."""
    return jobs.rescue_batch(orders.LINE, _lost)


def _lost(export: Export) -> None:
    export.done = 0
    if export.run_id:
        record.end_lost(export.run_id, timezone.now())


def clear_batch(now: datetime) -> int:
    """This will let old exports expire and remove their files, and files that nobody knows; returns how many."""
    with transaction.atomic():
        old = Export.objects.filter(state=State.SUCCEEDED, expires_at__lt=now).select_for_update(skip_locked=True)
        expired = list(old[:100])
        for export in expired:
            export.state = State.EXPIRED
            export.save(update_fields=["state"])
    for export in expired:
        files.remove(export.file)
        orders.tell(export)
    kept = set(Export.objects.filter(state=State.SUCCEEDED).values_list("file", flat=True))
    return len(expired) + files.sweep(kept)


def _attempt(export: Export) -> None:
    try:
        _export(export, jobs.subject_of(export))
    except (GivenUp, Forbidden, Invalid, OSError) as error:
        _end(export, error)
    except (Error, psycopg.Error, ProcrastinateException) as error:
        # Left as it stands: without its lock it is taken up again, when the database answers.
        log.warning("export broke off", export=str(export.pk), error=type(error).__name__)
    except Exception as error:
        log.exception("export failed", export=str(export.pk))
        _end(export, error)


def _export(export: Export, by: Subject) -> None:
    """This will write the file and store what it is; raises whatever stops it."""
    report, kind = REPORTS[export.report], formats.named(export.format)
    if kind is None:
        raise asking.refuse("format", "invalid", "There is no such format any more.")
    report.require(by)
    asked = asking.read(report, by, orders.query(export.filters))
    sheet = opening.sheet(asked, kind)
    kept = Record(
        by=by, report=report.name, format=kind.name, filters=asked.words, rows=sheet.reading.count,
        id=export.run_id or uuid.uuid4(), of=export.pk,
    )  # fmt: skip
    outcome, size = "failed", 0
    try:
        kept.start()
        with _watched(export, sheet, kept):
            written = files.write(f"{export.pk}-{export.attempt}.{kind.name}", kind.write(sheet))
        size = written.size
        _finish(export, written, sheet.reading.count)
        outcome = "done"
    except BaseException:
        outcome = "cancelled" if sheet.reading.cancelled.is_set() else "failed"
        if outcome == "cancelled":
            raise GivenUp from None
        raise
    finally:
        sheet.reading.close()
        kept.end(outcome, sent=size)


@contextmanager
def _watched(export: Export, sheet: Sheet, kept: Record) -> Iterator[None]:
    """This will tell twice a second how far the writing is, and stop it where the export was cancelled."""
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(export, sheet, kept, over), name="export watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _watch(export: Export, sheet: Sheet, kept: Record, over: threading.Event) -> None:
    try:
        while True:
            try:
                if jobs.is_leaving() or not _progress(export, sheet):
                    sheet.reading.cancel()
                    return
                kept.alive()
            except Error as error:
                log.warning("progress not stored", export=str(export.pk), error=type(error).__name__)
                connection.close()
            if over.wait(_BEAT_SECONDS):
                return
    finally:
        connection.close()


def _progress(export: Export, sheet: Sheet) -> bool:
    """This will store and tell how many rows are written; False where this attempt is not wanted any more."""
    export.done, export.total = sheet.reading.done, sheet.reading.count
    if not jobs.mine(orders.LINE, export).update(done=export.done, total=export.total):
        return False
    orders.tell(export)
    return True


def _finish(export: Export, written: files.Written, rows: int) -> None:
    now = timezone.now()
    stored = jobs.mine(orders.LINE, export).update(
        state=State.SUCCEEDED, done=rows, total=rows, file=written.name, size=written.size,
        sha256=written.sha256, finished_at=now, expires_at=now + timedelta(seconds=settings.EXPORT_KEEP),
    )  # fmt: skip
    if not stored:
        files.remove(written.name)
        raise GivenUp
    export.refresh_from_db()
    orders.tell(export)


def _end(export: Export, error: Exception) -> None:
    """This will store that the export failed; one that was cancelled is that already."""
    if not isinstance(error, GivenUp):
        said = error.errors[0]["message"] if isinstance(error, Invalid) else str(error)
        known = isinstance(error, Invalid | Forbidden)
        text = said if known else "It could not be written; the log of the workers says why."
        if not known:
            log.error("export failed", export=str(export.pk), error=repr(error))
        jobs.mine(orders.LINE, export).update(state=State.FAILED, error=text[:300], finished_at=timezone.now())
    export.refresh_from_db()
    orders.tell(export)
