"""Background exports as their owner sees them: create, list, get, cancel, and their JSON."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from django.db import transaction
from django.http import QueryDict

from exports import signals
from exports.background import file_store, jobs, progress
from exports.background.jobs import OPEN_STATES, JobType, TooManyJobs
from exports.models import Export
from exports.reports import execution, format_registry, report_query
from exports.reports.definitions import REPORTS
from shipments import representation
from shipments.auth.subjects import Subject

__all__ = [
    "JOB_TYPE",
    "TooManyJobs",
    "cancel",
    "create",
    "get_own",
    "list_own",
    "publish_progress",
    "serialize",
    "to_query_dict",
]
JOB_TYPE: Final = JobType("exports", Export, lock_namespace=0x46524558)  # "FREX"
_LIST_LIMIT: Final = 50


def create(*, by: Subject, now: datetime, report: str, file_format: str, filters: Mapping[str, str]) -> Export:
    """Store an export job; its row is its place in the queue.

    `report`, `file_format` and `filters` are unchecked input. Raises Forbidden, InvalidFields, TooManyJobs.
    """
    definition, known_format = REPORTS.get(report), format_registry.get(file_format)
    if definition is None:
        raise report_query.parameter_error("report", "invalid", f"There are the reports {', '.join(REPORTS)}.")
    if known_format is None:
        raise report_query.parameter_error(
            "format", "invalid", f"There are the formats {', '.join(format_registry.names())}."
        )
    definition.require(by)
    execution.check_format(report_query.parse(definition, by, to_query_dict(filters)), known_format)
    owner = jobs.require_user_id(by)
    with transaction.atomic():
        jobs.lock_and_check_quota(JOB_TYPE, owner)
        return Export.objects.create(
            organization_id=by.organization_id, owner_id=owner, key_id=by.key_id, address=by.address,
            request_id=by.request_id, report=report, format=file_format, filters=dict(filters), created_at=now,
        )  # fmt: skip


def list_own(viewer: Subject) -> list[Export]:
    """Return the viewer's own exports, newest first, at most 50."""
    return list(jobs.owned_by(JOB_TYPE, viewer).order_by("-created_at", "-id")[:_LIST_LIMIT])


def get_own(viewer: Subject, export_id: uuid.UUID) -> Export | None:
    """Return one of the viewer's own exports, None where there is none."""
    export: Export | None = jobs.owned_by(JOB_TYPE, viewer).filter(pk=export_id).first()
    return export


def cancel(*, by: Subject, now: datetime, export_id: uuid.UUID) -> bool:
    """Cancel an unfinished export, or remove the file of a finished one. Idempotent; False where there is none."""
    with transaction.atomic():
        export = jobs.owned_by(JOB_TYPE, by).select_for_update().filter(pk=export_id).first()
        if export is None:
            return False
        if export.state in OPEN_STATES:
            export.state, export.finished_at = Export.State.CANCELLED, now
        elif export.state == Export.State.SUCCEEDED:
            export.state = Export.State.EXPIRED
        else:
            return True
        export.save(update_fields=["state", "finished_at"])
    if export.state == Export.State.EXPIRED:
        file_store.remove(export.file)
    publish_progress(export)
    return True


def serialize(export: Export) -> dict[str, Any]:
    """Return the JSON of an export, without the path of its file."""
    instant = representation.instant
    has_file = export.state == Export.State.SUCCEEDED
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
        "size": export.size if has_file else None,
        "sha256": export.sha256 if has_file else None,
        "error": export.error or None,
    }


def publish_progress(export: Export) -> None:
    """Send the `progressed` signal. Call it after the commit, with the stored values."""
    signals.progressed.send_robust(
        sender=Export,
        export_id=export.pk,
        value=progress.EXPORTS.payload(export.pk, state=export.state, done=export.done, total=export.total),
        version=progress.version(attempt=export.attempt, state=export.state, done=export.done),
    )


def to_query_dict(filters: Mapping[str, str]) -> QueryDict:
    """Return stored filters as the query parameters of a URL."""
    return QueryDict(urlencode(filters))
