"""Generations: where numbers may be used again for other events, a new one makes every epoch another."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connection, transaction

from shipments import log
from shipments.auth.subjects import Subject
from shipments.models import Generation

MAX_REASON_LENGTH: Final = 200


@dataclass(frozen=True, slots=True)
class EpochChange:
    """The epoch before and after a new generation."""

    before: str
    after: str


def read_epoch() -> str:
    """Read the current epoch."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT freight_epoch()")
        return str(cursor.fetchone()[0])


def begin_generation(
    *,
    by: Subject,
    now: datetime,
    reason: str,
    went_back: bool = False,
    is_still_needed: Callable[[str], bool] = lambda _: True,
) -> EpochChange | None:
    """Begin a new generation, with an audit entry, and return what that made of the epoch.

    `reason` is cut to MAX_REASON_LENGTH. `went_back`: the database was found to have lost events. `is_still_needed`
    is asked with the current epoch while the row is locked, so of two processes that noticed the same one acts;
    None where it says no.
    """
    with transaction.atomic():
        generation, _ = Generation.objects.select_for_update().get_or_create(
            pk=1, defaults={"value": uuid.uuid4(), "reason": "stored anew", "began_at": now}
        )
        before = read_epoch()
        if not is_still_needed(before):
            return None
        generation.value, generation.reason, generation.began_at = uuid.uuid4(), reason[:MAX_REASON_LENGTH], now
        if went_back:
            generation.went_back_at = now
        generation.save()
        after = read_epoch()
        log.record_audit(
            by=by, now=now, action="new_epoch", entity="database", before={"epoch": before},
            after={"epoch": after, "reason": generation.reason, "wentBack": went_back},
        )  # fmt: skip
    return EpochChange(before, after)
