"""Idempotency keys: the effect of a keyed write and the answer to it are stored together or not at all.

Only what succeeded is stored. A refusal rolls the key back with everything else, so that the corrected request
may carry the same key, and a refusal repeated is judged anew.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from shipments.auth.subjects import Subject
from shipments.compiled_sql import writes
from shipments.models import IdempotencyKey
from shipments.services import transactions

RETENTION: Final = timedelta(hours=24)
BATCH: Final = 1000
# Waits for a twin's transaction. A key older than a day is as good as new.
_CLAIM: Final = """
INSERT INTO shipments_idempotencykey (organization_id, caller, key, fingerprint, created_at, headers)
VALUES (%(organization)s, %(caller)s, %(key)s, %(fingerprint)s, %(now)s, '{}')
ON CONFLICT (organization_id, caller, key) DO UPDATE
SET fingerprint = excluded.fingerprint, created_at = excluded.created_at, status = NULL, headers = '{}', body = NULL
WHERE shipments_idempotencykey.created_at < %(expired)s
RETURNING id
"""


class KeyInFlight(Exception):
    """A request with this key is being worked on."""


class KeyReused(Exception):
    """The key belongs to another request."""


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """What was answered: status, the headers that matter, and the body's bytes."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """A key in the hands of the transaction that works on it."""

    id: int


def claim(*, by: Subject, now: datetime, key: str, fingerprint: bytes) -> Claim | StoredResponse:
    """Take the key for the caller's transaction, or return the answer that was given to it before.

    It must be the transaction's first statement: a twin then waits here, for `lock_timeout`, before it has read
    anything. Raises KeyInFlight where the twin takes longer, KeyReused where the request was another one.
    """
    values: dict[str, Any] = {
        "organization": by.organization_id,
        "caller": by.limit_key,
        "key": key,
        "fingerprint": fingerprint,
        "now": now,
        "expired": now - RETENTION,
    }
    with connection.cursor() as cursor:
        try:
            cursor.execute(_CLAIM, values)
        except OperationalError as error:
            if transactions.sqlstate(error) == transactions.LOCK_NOT_AVAILABLE:
                raise KeyInFlight("A request with this key is being worked on; ask again soon.") from error
            raise
        row = cursor.fetchone()
    if row is not None:
        return Claim(row[0])
    stored = IdempotencyKey.objects.filter(organization_id=by.organization_id, caller=by.limit_key, key=key).first()
    if stored is None or stored.status is None:  # expired and swept away in this very moment
        raise KeyInFlight("This key is just expiring; ask again.")
    if bytes(stored.fingerprint) != fingerprint:
        raise KeyReused("This key was used for another request; use a new one.")
    return StoredResponse(stored.status, stored.headers, bytes(stored.body or b""))


def keep(claimed: Claim, answer: StoredResponse) -> None:
    """Store the answer, in the transaction that made the claim."""
    row = IdempotencyKey(pk=claimed.id, status=answer.status, headers=answer.headers, body=answer.body)
    writes.update(row, ("status", "headers", "body"))


def expire_batch(*, now: datetime | None = None) -> int:
    """Delete the next keys that are older than a day, and return how many they were."""
    expired = IdempotencyKey.objects.filter(created_at__lt=(now or timezone.now()) - RETENTION).order_by(
        "created_at"
    )
    with transaction.atomic():
        # A key that is just being taken anew is left to its taker.
        ids = list(expired.select_for_update(skip_locked=True).values_list("id", flat=True)[:BATCH])
        IdempotencyKey.objects.filter(pk__in=ids).delete()
    return len(ids)
