"""Delete what logins leave behind once it has expired: sessions, refresh families, tickets, failed attempts."""

from datetime import datetime
from typing import Any, Final

from django.contrib.sessions.models import Session
from django.db import models, transaction

from ratelimits import attempts
from shipments.models import RefreshFamily, SocketTicket

BATCH: Final = 500


def purge_batch(now: datetime) -> int:
    """Delete a batch of each, and return how many rows that were.

    Nobody can use them any more: an access token ends before its login does. Rows that a request has locked are
    skipped.
    """
    return attempts.purge(now) + sum(
        _delete_batch(expired)
        for expired in (
            Session.objects.filter(expire_date__lte=now).order_by("expire_date"),
            RefreshFamily.objects.filter(expires_at__lte=now).order_by("expires_at"),
            SocketTicket.objects.filter(expires_at__lte=now).order_by("expires_at"),
        )
    )


def _delete_batch(expired: models.QuerySet[Any]) -> int:
    with transaction.atomic():
        keys = list(expired.select_for_update(skip_locked=True).values_list("pk", flat=True)[:BATCH])
        expired.model.objects.filter(pk__in=keys).delete()
    return len(keys)
