"""The automatic flags that would be open by now: the relay need not open thousands after the seed."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple

from django.conf import settings

from shipments import representation
from shipments.services.shipments import automatic_flags


class OpenedFlag(NamedTuple):
    """A flag opened automatically at a time, and all flags that are open then."""

    at: datetime
    flag: str
    reason: str
    flags: list[dict[str, Any]]


def due_flags(row: Mapping[str, Any], *, now: datetime) -> list[OpenedFlag]:
    """Return the flags that are due on a shipment, at increasing times before `now`."""
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
            break  # the relay opens it in time
        reason = automatic_flags.REASONS[flag]
        flags = [*flags, {"flag": flag, "reason": reason, "openedAt": representation.instant(latest)}]
        opened.append(OpenedFlag(latest, flag, reason, flags))
    return opened
