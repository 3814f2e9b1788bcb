"""Denied access: who was refused what stands in the audit, too."""

from contextlib import suppress
from datetime import datetime

from django.db import DatabaseError, transaction

from shipments import log
from shipments.access import Subject
from shipments.models import AuditEntry

_LONGEST_ID = 64


def note_denial(*, by: Subject, now: datetime, method: str, path: str, why: str) -> None:
    """This will record that a subject was refused; a database that takes no writes must not hide the refusal."""
    with suppress(DatabaseError), transaction.atomic():
        log.record_audit(
            by=by,
            now=now,
            action="denied",
            entity="path",
            entity_id=path[:_LONGEST_ID],
            after={"method": method, "why": why},
            outcome=AuditEntry.Outcome.REFUSED,
        )
