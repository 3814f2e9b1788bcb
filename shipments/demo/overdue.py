"""What the watch would have flagged by now, so that a fresh demo does not begin with hours of catching up."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple

from django.conf import settings

from shipments import representation
from shipments.services import watch


class Flagging(NamedTuple):
    """A flag that the watch opens on a shipment at a time, and all flags that are open then."""

    at: datetime
    flag: str
    reason: str
    flags: list[dict[str, Any]]


def flaggings(row: Mapping[str, Any], *, now: datetime) -> list[Flagging]:
    """This will return what the watch has to open on a shipment, each behind the one before; none lies ahead."""
    due = [flag for flag, opens in watch.due(SimpleNamespace(**row), now) if opens]
    passed = {
        "delayed": lambda: row["planned_delivery_at"] + settings.DELAYED_AFTER,
        "stale": lambda: row["effective_at"] + settings.STALE_AFTER,
    }
    made: list[Flagging] = []
    flags, latest = list(row["flags"]), row["updated_at"]
    for flag in sorted(due, key=lambda each: passed[each]()):
        latest = max(passed[flag]().replace(microsecond=0), latest) + timedelta(seconds=15)
        if latest >= now:
            break  # the watch itself comes in time
        reason = watch.REASONS[flag]
        flags = [*flags, {"flag": flag, "reason": reason, "openedAt": representation.instant(latest)}]
        made.append(Flagging(latest, flag, reason, flags))
    return made
