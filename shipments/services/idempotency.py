"""Idempotency keys: the effect of a keyed write and its response are stored together or not at all.

Only successful responses are stored. A refusal rolls the key back with everything else, so the corrected request
may carry the same key, and a repeated one is processed again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import OperationalError, connection, transaction

from monitoring import clock
from shipments.auth.subjects import Subject
from shipments.compiled_sql import writes
from shipments.models import IdempotencyKey
from shipments.services import transactions

RETENTION: Final = timedelta(hours=24)
BATCH: Final = 1000
# Waits for the transaction of a concurrent request with the same key. A key older than a day counts as new.
_CLAIM: Final = """
INSERT INTO shipments_idempotencykey (organization_id, caller, key, fingerprint, created_at, headers)
VALUES (%(organization)s, %(caller)s, %(key)s, %(fingerprint)s, %(now)s, '{}')
ON CONFLICT (organization_id, caller, key) DO UPDATE
SET fingerprint = excluded.fingerprint, created_at = excluded.created_at, status = NULL, headers = '{}', body = NULL
WHERE shipments_idempotencykey.created_at < %(expired)s
RETURNING id
"""


class KeyInFlight(Exception):
    """A request with this key is being processed."""


class KeyReused(Exception):
    """The key was used for another request."""


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A stored response: status, the headers worth replaying, and the bytes of the body."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """A key claimed by the current transaction."""

    id: int


def claim(*, by: Subject, now: datetime, key: str, fingerprint: bytes) -> Claim | StoredResponse:
    """Claim the key for the caller's transaction, or return the response stored under it.

    It must be the transaction's first statement: a concurrent request with the key then waits here, at most
    `lock_timeout`, before it has read anything. Raises KeyInFlight where the other takes longer, KeyReused where
    the stored request was another one.
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
    if stored is None or stored.status is None:  # expired and deleted concurrently
        raise KeyInFlight("This key is just expiring; ask again.")
    if bytes(stored.fingerprint) != fingerprint:
        raise KeyReused("This key was used for another request; use a new one.")
    return StoredResponse(stored.status, stored.headers, bytes(stored.body or b""))


def store_response(claimed: Claim, response: StoredResponse) -> None:
    """Store the response, in the transaction that made the claim."""
    row = IdempotencyKey(pk=claimed.id, status=response.status, headers=response.headers, body=response.body)
    writes.update(row, ("status", "headers", "body"))


def expire_batch(*, now: datetime | None = None) -> int:
    """Delete a batch of keys that are older than a day, and return how many."""
    expired = IdempotencyKey.objects.filter(created_at__lt=(now or clock.now()) - RETENTION).order_by("created_at")
    with transaction.atomic():
        # A key that is being claimed again is locked, and skipped.
        ids = list(expired.select_for_update(skip_locked=True).values_list("id", flat=True)[:BATCH])
        IdempotencyKey.objects.filter(pk__in=ids).delete()
    return len(ids)
