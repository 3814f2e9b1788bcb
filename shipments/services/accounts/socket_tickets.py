"""Socket tickets: issued to a caller of the API, valid for one handshake and 30 seconds."""

import json
import secrets
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction

from shipments.auth import credentials, tokens
from shipments.auth.credentials import Credential
from shipments.auth.subjects import Forbidden, Subject
from shipments.models import SocketTicket

LIFETIME: Final = timedelta(seconds=30)
_PURGE_BATCH: Final = 100


def issue(*, by: Subject, now: datetime) -> tuple[str, datetime]:
    """Issue a ticket that opens one socket as the subject; return it and its expiry. Raises Forbidden."""
    by.require("shipment:follow")
    credential = credentials.credential_of(by)
    if credential is None:
        raise Forbidden("A ticket stands for a login, a session, a key or a link.")
    ticket, expires_at = secrets.token_urlsafe(32), now + LIFETIME
    _purge(now)
    SocketTicket.objects.create(
        digest=tokens.digest(ticket), credential=credential.to_json(), expires_at=expires_at
    )
    return ticket, expires_at


def redeem(*, ticket: str, now: datetime) -> Subject | None:
    """Consume a ticket and return its subject; None where it is unknown, used, expired or revoked.

    Of concurrent attempts exactly one deletes the row.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM shipments_socketticket WHERE digest = %s RETURNING credential::text, expires_at > %s",
            [tokens.digest(ticket), now],
        )
        row = cursor.fetchone()
    if row is None or not row[1]:
        return None
    return credentials.subject_of(Credential.from_json(json.loads(row[0])), now=now)


def _purge(now: datetime) -> None:
    """Delete a batch of expired tickets; each issue pays for some."""
    with transaction.atomic():
        old = SocketTicket.objects.filter(expires_at__lte=now).order_by("expires_at")
        ids = list(old.select_for_update(skip_locked=True).values_list("pk", flat=True)[:_PURGE_BATCH])
        SocketTicket.objects.filter(pk__in=ids).delete()
