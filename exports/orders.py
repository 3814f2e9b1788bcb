"""Background exports as those who order them see them: order, look, cancel."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from django.db import connection, transaction
from django.http import QueryDict
from procrastinate.contrib.django import app
from rest_framework import status
from rest_framework.exceptions import APIException

from exports import asking, files, formats, opening, progress, signals
from exports.models import Export
from exports.tables import REPORTS
from shipments import representation
from shipments.access import Subject

MOST_RUNNING: Final = 2
QUEUE: Final = "exports"
TASK: Final = "exports.write"
_OPEN: Final = (Export.State.QUEUED, Export.State.RUNNING)
_LISTED: Final = 50


class TooMany(APIException):
    """The caller has as many exports under way as one may."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "too_many_exports"
    default_detail = f"You have {MOST_RUNNING} exports under way; wait for one to end or cancel it."
    wait = 5


def order(*, by: Subject, now: datetime, report: str, format: str, filters: Mapping[str, str]) -> Export:  # noqa: A002
    """This will store an order and hand it to the workers, in one transaction.

    Raises Forbidden, Invalid, TooMany.
    """
    table, kind = REPORTS.get(report), formats.named(format)
    if table is None:
        raise asking.refuse("report", "invalid", f"There are the reports {', '.join(REPORTS)}.")
    if kind is None:
        raise asking.refuse("format", "invalid", f"There are the formats {', '.join(formats.names())}.")
    table.require(by)
    opening.check(asking.read(table, by, query(filters)), kind)
    owner = owner_of(by)
    with transaction.atomic():
        _one_at_a_time(owner)
        if Export.objects.filter(owner_id=owner, state__in=_OPEN).count() >= MOST_RUNNING:
            raise TooMany
        export = Export.objects.create(
            organization_id=by.organization_id, owner_id=owner, key_id=by.key_id, address=by.address,
            request_id=by.request_id, report=report, format=format, filters=dict(filters), created_at=now,
        )  # fmt: skip
        hand_over(export)
    return export


def hand_over(export: Export) -> None:
    """This will put an order into the workers' queue, in the caller's transaction."""
    export.job_id = app.configure_task(TASK, queue=QUEUE).defer(export_id=str(export.pk))
    export.save(update_fields=["job_id"])


def of(viewer: Subject) -> list[Export]:
    """This will return the viewer's own exports, newest first."""
    return list(_own(viewer).order_by("-created_at", "-id")[:_LISTED])


def find(viewer: Subject, export_id: uuid.UUID) -> Export | None:
    """This will return one of the viewer's own exports, None where there is none."""
    found: Export | None = _own(viewer).filter(pk=export_id).first()
    return found


def cancel(*, by: Subject, now: datetime, export_id: uuid.UUID) -> bool:
    """This will end an export that is under way, or take away the file of a finished one; False: there is none."""
    with transaction.atomic():
        export = _own(by).select_for_update().filter(pk=export_id).first()
        if export is None:
            return False
        if export.state in _OPEN:
            export.state, export.finished_at = Export.State.CANCELLED, now
        elif export.state == Export.State.SUCCEEDED:
            export.state = Export.State.EXPIRED
        else:
            return True
        export.save(update_fields=["state", "finished_at"])
    if export.state == Export.State.EXPIRED:
        files.remove(export.file)
    tell(export)
    return True


def shown(export: Export) -> dict[str, Any]:
    """This will return the JSON of an export."""
    instant = representation.instant
    ready = export.state == Export.State.SUCCEEDED
    return {
        "id": str(export.pk),
        "report": export.report,
        "format": export.format,
        "filters": {name: text for name, text in export.filters.items() if name != "fields"},
        "fields": export.filters["fields"].split(",") if "fields" in export.filters else None,
        "state": export.state,
        "progress": {"done": export.done, "total": export.total},
        "createdAt": instant(export.created_at),
        "startedAt": instant(export.started_at),
        "finishedAt": instant(export.finished_at),
        "expiresAt": instant(export.expires_at),
        "size": export.size if ready else None,
        "sha256": export.sha256 if ready else None,
        "error": export.error or None,
    }


def tell(export: Export) -> None:
    """This will tell whoever listens how far an export is."""
    signals.progressed.send_robust(
        sender=Export,
        export_id=export.pk,
        value=progress.value(export_id=export.pk, state=export.state, done=export.done, total=export.total),
        version=progress.version(attempt=export.attempt, state=export.state, done=export.done),
    )


def query(filters: Mapping[str, str]) -> QueryDict:
    """This will return the filters of an order as they would stand in a URL."""
    return QueryDict(urlencode(filters))


def owner_of(subject: Subject) -> uuid.UUID:
    """This will return the user for whom a subject acts."""
    if subject.user_id is None:
        raise asking.refuse("", "invalid", "Only users order exports.")
    return subject.user_id


def _own(viewer: Subject) -> Any:
    return Export.objects.filter(organization_id=viewer.organization_id, owner_id=owner_of(viewer))


def _one_at_a_time(owner: uuid.UUID) -> None:
    """This will make orders of one user wait for each other, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"exports of {owner}"])
