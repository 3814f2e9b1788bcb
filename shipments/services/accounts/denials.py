"""Denied access: refusals are audited too."""

import uuid
from contextlib import suppress
from datetime import datetime

from django.db import DatabaseError, transaction

from shipments import log
from shipments.auth.subjects import Subject
from shipments.models import AuditEntry

_MAX_ID_LENGTH = 64


def record_denial(
    *, by: Subject, now: datetime, method: str, path: str, reason: str, user_id: uuid.UUID | None = None
) -> None:
    """Audit that a subject was refused; the refusal stands even where the database takes no writes.

    Where it reached for an account, `user_id`, the entry is that account's. Called by the doors, outside of the
    transaction that the refusal has rolled back.
    """
    with suppress(DatabaseError), transaction.atomic():
        log.record_audit(
            by=by,
            now=now,
            action="denied",
            entity="user" if user_id else "path",
            entity_id=user_id or path[:_MAX_ID_LENGTH],
            after={"method": method, "why": reason} | ({"path": path} if user_id else {}),
            outcome=AuditEntry.Outcome.REFUSED,
        )
