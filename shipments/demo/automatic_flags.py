"""What the watch would have flagged by now, so that a fresh demo does not begin with hours of catching up."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple

from django.conf import settings

from shipments import representation
from shipments.services.shipments import automatic_flags


class OpenedFlag(NamedTuple):
    """A flag that the watch opens on a shipment at a time, and all flags that are open then."""

    at: datetime
    flag: str
    reason: str
    flags: list[dict[str, Any]]


def due_flags(row: Mapping[str, Any], *, now: datetime) -> list[OpenedFlag]:
    """Return what the watch has to open on a shipment, each behind the one before; none lies ahead."""
    due = [flag for flag, opens in automatic_flags.due_changes(SimpleNamespace(**row), now) if opens]
    due_at = {
        "delayed": lambda: row["planned_delivery_at"] + settings.DELAYED_AFTER,
        "stale": lambda: row["effective_at"] + settings.STALE_AFTER,
    }
    opened: list[OpenedFlag] = []
    flags, latest = list(row["flags"]), row["updated_at"]
    for flag in sorted(due, key=lambda each: due_at[each]()):
        latest = max(due_at[flag]().replace(microsecond=0), latest) + timedelta(seconds=15)
        if latest >= now:
            break  # the watch itself comes in time
        reason = automatic_flags.REASONS[flag]
        flags = [*flags, {"flag": flag, "reason": reason, "openedAt": representation.instant(latest)}]
        opened.append(OpenedFlag(latest, flag, reason, flags))
    return opened
