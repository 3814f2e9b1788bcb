"""The watch: opens `delayed` and `stale` by the clock, and clears what it opened itself.

Opening and clearing stand apart (hysteresis), so that a shipment at the edge does not flap: `delayed` opens
when the planned delivery has passed by the margin and clears when the plan lies ahead again or the freight
arrived; `stale` opens when nothing has happened for the whole period and clears when something did within
half of it.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from shipments import access, lifecycle
from shipments.models import Shipment
from shipments.services import flags, rows

BATCH: Final = 200
AUTOMATIC: Final = "automatic: "
_OVER: Final = ("draft", "delivered", "returned", "cancelled", "lost")
REASONS: Final = {
    "delayed": AUTOMATIC + "the planned delivery has passed",
    "stale": AUTOMATIC + "nothing was heard for too long",
}


def watch_batch(*, now: datetime | None = None) -> int:
    """This will judge the next shipments whose automatic flags may be due, and return how many it changed."""
    now = now or timezone.now()
    found = Shipment.objects.not_deleted().filter(_due_to_open(now) | _due_to_clear(now)).order_by("id")
    return sum(
        _judge(reference, access.system_subject(organization_id, name="watch"), now=now)
        for organization_id, reference in found.values_list("organization_id", "reference")[:BATCH]
    )


def _due_to_open(now: datetime) -> Q:
    late = Q(planned_delivery_at__lt=now - settings.DELAYED_AFTER) & ~Q(status__in=_OVER)
    silent = Q(effective_at__lt=now - settings.STALE_AFTER, status__in=sorted(lifecycle.IN_MOTION))
    return (late & ~_has("delayed")) | (silent & ~_has("stale"))


def _due_to_clear(now: datetime) -> Q:
    planned_ahead = Q(planned_delivery_at__gte=now) | Q(planned_delivery_at=None)
    heard = Q(effective_at__gte=now - settings.STALE_AFTER / 2) | ~Q(status__in=sorted(lifecycle.IN_MOTION))
    return (_automatic("delayed") & (planned_ahead | Q(status__in=_OVER))) | (_automatic("stale") & heard)


def _has(flag: str) -> Q:
    return Q(flags__contains=[{"flag": flag}])


def _automatic(flag: str) -> Q:
    return Q(flags__contains=[{"flag": flag, "reason": REASONS[flag]}])


def _judge(reference: str, by: access.Subject, *, now: datetime) -> int:
    """This will judge one shipment again, under its lock, and write what is due; one event a flag."""
    with transaction.atomic():
        shipment = rows.locked(reference, by=by, expected_seq=None)
        judged = list(due(shipment, now))
        for flag, opens in judged:
            change = flags.open_flag if opens else flags.clear_flag
            reason = REASONS[flag] if opens else AUTOMATIC + "over"
            change(by=by, now=now, reference=reference, flag=flag, reason=reason)
    return bool(judged)


def due(shipment: Any, now: datetime) -> Iterator[tuple[str, bool]]:
    """This will yield the automatic flags that are due on a shipment, and whether each opens or clears."""
    over, planned = shipment.status in _OVER, shipment.planned_delivery_at
    moving, heard_at = shipment.status in lifecycle.IN_MOTION, shipment.effective_at
    if planned and not over and planned < now - settings.DELAYED_AFTER and not rows.has_flag(shipment, "delayed"):
        yield "delayed", True
    if _opened_here(shipment, "delayed") and (over or planned is None or planned >= now):
        yield "delayed", False
    if moving and heard_at < now - settings.STALE_AFTER and not rows.has_flag(shipment, "stale"):
        yield "stale", True
    if _opened_here(shipment, "stale") and (not moving or heard_at >= now - settings.STALE_AFTER / 2):
        yield "stale", False


def _opened_here(shipment: Any, flag: str) -> bool:
    return any(each["flag"] == flag and each["reason"] == REASONS[flag] for each in shipment.flags)
