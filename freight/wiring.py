"""The one visible list that connects the rooms."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import ratelimits.signals
from exports import pictures as cleaner
from monitoring import runtime
from realtime import kinds, receivers, rooms
from shipments import access, intake, pictures, signals
from shipments.selectors import measured


def connect() -> None:
    """This will connect signals and registries of the lower apps to the upper ones."""
    signals.event_committed.connect(receivers.announce, dispatch_uid="realtime.announce")
    signals.access_changed.connect(receivers.announce_access, dispatch_uid="realtime.announce_access")
    signals.link_revoked.connect(receivers.announce_link, dispatch_uid="realtime.announce_link")
    signals.feed_numbered.connect(receivers.announce_feed, dispatch_uid="realtime.announce_feed")
    signals.position_recorded.connect(receivers.announce_position, dispatch_uid="realtime.announce_position")
    ratelimits.signals.limit_changed.connect(_record_limit_change, dispatch_uid="freight.limit_change")
    pictures.connect(cleaner.cleaned)
    for kind in kinds.KINDS:
        rooms.register(kind)
    runtime.once_a_host(measured.relay_lag, every=2)
    runtime.once_a_host(measured.states, every=15)


def _record_limit_change(
    *,
    by: access.Subject | None,
    now: datetime,
    name: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    **_: object,
) -> None:
    """This will write into the audit, in the same transaction, who changed a limit of the installation."""
    intake.record_audit(
        by=by or access.installation(name="manage.py limits"),
        now=now,
        action="limit_change",
        entity="rate_limit",
        entity_id=name[:64],
        before=before,
        after=after,
        outcome="done",
    )
