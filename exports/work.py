"""The workers' side of background exports: write one, take up those whose worker was killed, clear away."""

import asyncio
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
import structlog
from django.conf import settings
from django.db import Error, connection, transaction
from django.db.models import F
from django.utils import timezone
from procrastinate import PsycopgConnector
from procrastinate.contrib.django import app
from procrastinate.exceptions import ProcrastinateException

from exports import asking, files, formats, opening, orders, record
from exports.formats import Sheet
from exports.models import Export
from exports.record import Record
from exports.tables import REPORTS
from shipments import credentials
from shipments.access import Forbidden, Subject
from shipments.selectors.live import connection_arguments
from shipments.selectors.parameters import Invalid

log: Final = structlog.get_logger("exports")
# One that ends its worker each time is not tried for ever.
MOST_ATTEMPTS: Final = 10
_BEAT_SECONDS: Final = 0.5
_LOCK: Final = 0x46524558  # "FREX": the first half of the advisory lock of an export that is being written
State = Export.State


_leaving: Final = threading.Event()


class GivenUp(Exception):
    """Somebody has cancelled the export, or another attempt has taken it over."""


def work_batch() -> int:
    """This will write what is queued, one after the other, and return how many were taken."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM procrastinate_jobs WHERE queue_name = %s AND status = 'todo'", [orders.QUEUE]
        )
        waiting = int(cursor.fetchone()[0])
    connection.close()  # the thread may now be busy for minutes
    if waiting and not _leaving.is_set():
        asyncio.run(_work())
    return waiting


def leave() -> None:
    """This will make the writing of this process stop; what it had begun is begun again by the next one."""
    _leaving.set()


async def _work() -> None:
    kwargs = connection_arguments("jobs", "-c timezone=UTC -c lock_timeout=2000")
    del kwargs["autocommit"]
    connector = PsycopgConnector(kwargs=kwargs, min_size=1, max_size=2)
    # An application of its own: other threads go on ordering through Django's connections.
    async with app.with_connector(connector).open_async() as own:
        await own.run_worker_async(
            queues=[orders.QUEUE], wait=False, listen_notify=False, install_signal_handlers=False,
            delete_jobs="always",
        )  # fmt: skip


def write(export_id: uuid.UUID) -> None:
    """This will write one export from the beginning, unless somebody else does or it was cancelled."""
    with _held(export_id) as mine:
        if not mine:
            return
        started = Export.objects.filter(pk=export_id, state=State.QUEUED).update(
            state=State.RUNNING, attempt=F("attempt") + 1, started_at=timezone.now(), done=0, total=None,
            run_id=uuid.uuid4(),
        )  # fmt: skip
        if started:
            _attempt(Export.objects.get(pk=export_id))


def rescue_batch() -> int:
    """This will queue again what is running without a worker, which was killed; returns how many."""
    rescued = 0
    for export in Export.objects.filter(state=State.RUNNING).order_by("started_at")[:100]:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, str(export.pk)])
            if not cursor.fetchone()[0]:
                continue  # it is being written
            rescued += _queue_again(export.pk, export.attempt)
    return rescued


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


@contextmanager
def _held(export_id: uuid.UUID) -> Iterator[bool]:
    """This will hold the export's lock for as long as this process lives, and tell whether it got it.

    The session is the witness: PostgreSQL frees the lock in the moment in which a killed process's socket closes.
    """
    with psycopg.connect(**connection_arguments("export job", "-c idle_session_timeout=0")) as session:
        row = session.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", [_LOCK, str(export_id)]).fetchone()
        yield bool(row and row[0])


def _queue_again(export_id: uuid.UUID, attempt: int) -> int:
    export = Export.objects.select_for_update().filter(pk=export_id, state=State.RUNNING, attempt=attempt).first()
    if export is None:
        return 0
    if export.run_id:
        record.end_lost(export.run_id, timezone.now())
    if export.attempt >= MOST_ATTEMPTS:
        export.state, export.error = State.FAILED, "Its worker ended each time that it was tried."
        export.finished_at = timezone.now()
        export.save(update_fields=["state", "error", "finished_at"])
        return 1
    export.state, export.done = State.QUEUED, 0
    export.save(update_fields=["state", "done"])
    _forget_job(export.job_id)
    orders.hand_over(export)
    log.warning("export is taken up again", export=str(export.pk), attempt=export.attempt)
    return 1


def _forget_job(job_id: int | None) -> None:
    """This will take the killed worker's job out of the queue's table."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs WHERE id = %s", [job_id])


def _attempt(export: Export) -> None:
    try:
        subject = credentials.of_person(export.owner_id, key_id=export.key_id, now=timezone.now())
        if subject is None or subject.organization_id != export.organization_id:
            raise Forbidden("Whoever ordered it has no access any more.")  # noqa: TRY301  one place ends it
        _export(export, subject.at(address=export.address, request_id=export.request_id))
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
                if _leaving.is_set() or not _progress(export, sheet):
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
    if not _mine(export).update(done=export.done, total=export.total):
        return False
    orders.tell(export)
    return True


def _finish(export: Export, written: files.Written, rows: int) -> None:
    now = timezone.now()
    stored = _mine(export).update(
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
        _mine(export).update(state=State.FAILED, error=text[:300], finished_at=timezone.now())
    export.refresh_from_db()
    orders.tell(export)


def _mine(export: Export) -> Any:
    return Export.objects.filter(pk=export.pk, attempt=export.attempt, state=State.RUNNING)
