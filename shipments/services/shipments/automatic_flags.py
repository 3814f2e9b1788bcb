"""Automatic flags: open `delayed` and `stale` by the clock, and clear those that were opened automatically.

The thresholds have hysteresis, so that a shipment at the edge does not flap: `delayed` opens once the planned
delivery has passed by DELAYED_AFTER and clears when the plan lies ahead again or the freight arrived; `stale` opens
after STALE_AFTER without an event and clears after an event within half of that.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db.models import Q

from monitoring import clock
from shipments.auth import subjects
from shipments.domain import lifecycle
from shipments.models import EventType, Shipment
from shipments.services import write
from shipments.services.shipments import flags

BATCH: Final = 200
# Stored as the name of the actor: it never changes.
_ACTOR: Final = "watch"
AUTOMATIC: Final = "automatic: "
_NEVER_LATE_STATES: Final = ("draft", "delivered", "returned", "cancelled", "lost")
REASONS: Final = {
    "delayed": AUTOMATIC + "the planned delivery has passed",
    "stale": AUTOMATIC + "nothing was heard for too long",
}


def evaluate_batch(*, now: datetime | None = None) -> int:
    """Evaluate a batch of shipments whose automatic flags may be due, and return how many changed."""
    now = now or clock.now()
    shipments = Shipment.objects.not_deleted().filter(_due_to_open(now) | _due_to_clear(now)).order_by("id")
    return sum(
        _evaluate(reference, subjects.system_subject(organization_id, name=_ACTOR), now=now)
        for organization_id, reference in shipments.values_list("organization_id", "reference")[:BATCH]
    )


def _due_to_open(now: datetime) -> Q:
    is_late = Q(planned_delivery_at__lt=now - settings.DELAYED_AFTER) & ~Q(status__in=_NEVER_LATE_STATES)
    is_silent = Q(effective_at__lt=now - settings.STALE_AFTER, status__in=sorted(lifecycle.IN_MOTION))
    return (is_late & ~_has("delayed")) | (is_silent & ~_has("stale"))


def _due_to_clear(now: datetime) -> Q:
    planned_ahead = Q(planned_delivery_at__gte=now) | Q(planned_delivery_at=None)
    is_heard = Q(effective_at__gte=now - settings.STALE_AFTER / 2) | ~Q(status__in=sorted(lifecycle.IN_MOTION))
    return (_automatic("delayed") & (planned_ahead | Q(status__in=_NEVER_LATE_STATES))) | (
        _automatic("stale") & is_heard
    )


def _has(flag: str) -> Q:
    return Q(flags__contains=[{"flag": flag}])


def _automatic(flag: str) -> Q:
    return Q(flags__contains=[{"flag": flag, "reason": REASONS[flag]}])


def _evaluate(reference: str, by: subjects.Subject, *, now: datetime) -> int:
    """Evaluate one shipment again, under its lock, and commit what is due; one event a flag."""
    with write.locked_shipment(reference, by=by) as shipment:
        changes = list(due_changes(shipment, now))
        for flag, opens in changes:
            if opens:
                kind, reason = EventType.FLAGGED, REASONS[flag]
                flags.add_flag(shipment, flag, reason=reason, now=now)
            else:
                kind, reason = EventType.UNFLAGGED, AUTOMATIC + "over"
                flags.remove_flag(shipment, flag)
            flags.commit_flag_change(shipment, kind, by=by, now=now, flag=flag, reason=reason)
    return bool(changes)


def due_changes(shipment: Any, now: datetime) -> Iterator[tuple[str, bool]]:
    """Yield the automatic flags that are due on a shipment, and whether each opens or clears."""
    is_over, planned = shipment.status in _NEVER_LATE_STATES, shipment.planned_delivery_at
    moving, last_event_at = shipment.status in lifecycle.IN_MOTION, shipment.effective_at
    if (
        planned
        and not is_over
        and planned < now - settings.DELAYED_AFTER
        and not lifecycle.has_flag(shipment.flags, "delayed")
    ):
        yield "delayed", True
    if _opened_automatically(shipment, "delayed") and (is_over or planned is None or planned >= now):
        yield "delayed", False
    if moving and last_event_at < now - settings.STALE_AFTER and not lifecycle.has_flag(shipment.flags, "stale"):
        yield "stale", True
    if _opened_automatically(shipment, "stale") and (not moving or last_event_at >= now - settings.STALE_AFTER / 2):
        yield "stale", False


def _opened_automatically(shipment: Any, flag: str) -> bool:
    return any(each["flag"] == flag and each["reason"] == REASONS[flag] for each in shipment.flags)
