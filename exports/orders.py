"""Background exports as those who order them see them: order, look, cancel."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from django.db import transaction
from django.http import QueryDict

from exports import asking, files, formats, jobs, opening, progress, signals
from exports.jobs import OPEN, Line, TooMany
from exports.models import Export
from exports.tables import REPORTS
from shipments import representation
from shipments.access import Subject

__all__ = ["LINE", "TooMany", "cancel", "find", "of", "order", "query", "shown", "tell"]
LINE: Final = Line("exports", "export", Export, task="exports.write", lock=0x46524558)  # "FREX"
_LISTED: Final = 50


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
    owner = jobs.owner_of(by)
    with transaction.atomic():
        jobs.admit(LINE, owner)
        export = Export.objects.create(
            organization_id=by.organization_id, owner_id=owner, key_id=by.key_id, address=by.address,
            request_id=by.request_id, report=report, format=format, filters=dict(filters), created_at=now,
        )  # fmt: skip
        jobs.hand_over(LINE, export)
    return export


def of(viewer: Subject) -> list[Export]:
    """This will return the viewer's own exports, newest first."""
    return list(jobs.own(LINE, viewer).order_by("-created_at", "-id")[:_LISTED])


def find(viewer: Subject, export_id: uuid.UUID) -> Export | None:
    """This will return one of the viewer's own exports, None where there is none."""
    found: Export | None = jobs.own(LINE, viewer).filter(pk=export_id).first()
    return found


def cancel(*, by: Subject, now: datetime, export_id: uuid.UUID) -> bool:
    """This will end an export that is under way, or take away the file of a finished one; False: there is none."""
    with transaction.atomic():
        export = jobs.own(LINE, by).select_for_update().filter(pk=export_id).first()
        if export is None:
            return False
        if export.state in OPEN:
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
        value=progress.EXPORTS.value(export.pk, state=export.state, done=export.done, total=export.total),
        version=progress.version(attempt=export.attempt, state=export.state, done=export.done),
    )


def query(filters: Mapping[str, str]) -> QueryDict:
    """This will return the filters of an order as they would stand in a URL."""
    return QueryDict(urlencode(filters))
