"""Denied access: refusals are audited too."""

from contextlib import suppress
from datetime import datetime

from django.db import DatabaseError, transaction

from shipments import log
from shipments.auth.subjects import Subject
from shipments.models import AuditEntry

_MAX_ID_LENGTH = 64


def record_denial(*, by: Subject, now: datetime, method: str, path: str, reason: str) -> None:
    """Audit that a subject was refused; the refusal stands even where the database takes no writes."""
    with suppress(DatabaseError), transaction.atomic():
        log.record_audit(
            by=by,
            now=now,
            action="denied",
            entity="path",
            entity_id=path[:_MAX_ID_LENGTH],
            after={"method": method, "why": reason},
            outcome=AuditEntry.Outcome.REFUSED,
        )
