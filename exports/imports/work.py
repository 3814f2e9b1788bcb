"""The workers' side of imports: apply one chunk by chunk, take up those whose worker was killed, forget old ones.

What a chunk changes, what is told of its rows and how far the import is are one transaction: nothing is done twice.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
import structlog
from django.conf import settings
from django.db import Error, transaction
from django.db.models import F
from django.utils import timezone
from procrastinate.exceptions import ProcrastinateException

from exports import jobs
from exports.imports import applying, columns, orders, table
from exports.imports.applying import CHUNK, Wishes
from exports.imports.columns import Columns
from exports.jobs import GivenUp
from exports.models import Import, ImportedFile, ImportedRow
from shipments import intake
from shipments.access import Forbidden, Subject
from shipments.intake import OutcomeUnknown, Wanted
from shipments.selectors.parameters import Invalid

log: Final = structlog.get_logger("exports")
State = Import.State


class Leaving(Exception):
    """This process ends; another takes the import up."""


def work_batch() -> int:
    """This will apply what is queued, one after the other, and return how many were waiting."""
    return jobs.work_batch(orders.LINE)


def rescue_batch() -> int:
    """This will queue again what is running without a worker, which was killed; returns how many."""
    return jobs.rescue_batch(orders.LINE, _lost)


def forget_batch(now: datetime) -> int:
    """This will delete reports that nobody may ask for any more, and return how many."""
    old = Import.objects.filter(created_at__lt=now - timedelta(seconds=settings.IMPORT_KEEP))
    keys = list(old.exclude(state__in=jobs.OPEN).order_by("created_at").values_list("pk", flat=True)[:10])
    with transaction.atomic():
        ImportedRow.objects.filter(import_id__in=keys).delete()
        Import.objects.filter(pk__in=keys).delete()
    return len(keys)


def apply(import_id: uuid.UUID) -> None:
    """This will apply one import from where it stands, unless somebody else does or it was cancelled."""
    with jobs.begun(orders.LINE, import_id) as order:
        if order is not None:
            _attempt(order)


def _lost(order: Import) -> None:
    """This will end one that is given up; of others all is stored already, committed with what it did."""
    if order.attempt >= jobs.MOST_ATTEMPTS:
        ImportedFile.objects.filter(pk=order.pk).delete()
        told = {**orders.counts(order), "why": "Its process ended."}
        orders.audit(order, by=_whoever(order), now=timezone.now(), outcome="failed", told=told)


def _attempt(order: Import) -> None:
    try:
        _apply(order)
    except (GivenUp, Leaving):
        pass  # it was ended by whoever cancelled it, or goes on elsewhere
    except (Forbidden, Invalid) as error:
        _fail(order, error.errors[0]["message"] if isinstance(error, Invalid) else str(error))
    except (Error, psycopg.Error, ProcrastinateException, OutcomeUnknown) as error:
        # Left as it stands: without its lock it is taken up again, when the database answers.
        log.warning("import broke off", order=str(order.pk), error=type(error).__name__)
    except Exception:
        log.exception("import failed", order=str(order.pk))
        _fail(order, "It could not be applied; the log of the workers says why.")


def _apply(order: Import) -> None:
    by = jobs.subject_of(order)
    by.require("shipments:write")
    if order.attempt == 1:
        orders.audit(order, by=by, now=timezone.now(), outcome="started", told={})
    orders.tell(order)
    found = columns.find(order.header)
    wishes = Wishes(found, decimal_comma=order.decimal_comma)
    rows = table.unpacked(bytes(ImportedFile.objects.get(pk=order.pk).packed))
    for chunk in wishes.chunks(rows, CHUNK, skip=order.done):
        if jobs.is_leaving():
            raise Leaving
        _chunk(order, chunk, found)
        order.refresh_from_db(fields=["done", *applying.OUTCOMES])
        orders.tell(order)
    with transaction.atomic():
        finished = jobs.mine(orders.LINE, order).select_for_update().first()
        if finished is None:
            raise GivenUp
        orders.end(finished, by=by, now=timezone.now(), state=State.SUCCEEDED)
    orders.tell(finished)


def _chunk(order: Import, chunk: Sequence[Wanted], found: Columns) -> None:
    """This will apply some rows and store what became of them; raises Forbidden, GivenUp, the database's errors."""
    # Whoever ordered it may have lost the right meanwhile.
    by: Subject = jobs.subject_of(order)
    now = timezone.now()

    def write() -> None:
        judged = intake.import_rows(by=by, now=now, rows=chunk, dry_run=False)
        ImportedRow.objects.bulk_create(
            ImportedRow(import_id=order.pk, **applying.shown(each, found)) for each in judged
        )
        grown: dict[str, Any] = {name: F(name) + count for name, count in applying.counted(judged).items()}
        if not jobs.mine(orders.LINE, order).update(done=F("done") + len(chunk), **grown):
            raise GivenUp

    intake.committed(write)


def _fail(order: Import, error: str) -> None:
    with transaction.atomic():
        found = jobs.mine(orders.LINE, order).select_for_update().first()
        if found is None:
            return
        orders.end(found, by=_whoever(order), now=timezone.now(), state=State.FAILED, error=error)
    orders.tell(found)


def _whoever(order: Import) -> Subject:
    """This will return whom the audit names where nobody may act for the import any more."""
    return Subject(
        organization_id=order.organization_id, role="system", user_id=order.owner_id, name="import",
        address=order.address, request_id=order.request_id,
    )  # fmt: skip
