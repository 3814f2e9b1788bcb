"""Door: the few writes offered to the rooms above."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shipments import log, services
from shipments.access import Subject
from shipments.services import tickets


def record_position(*, driver_id: uuid.UUID, latitude: float, longitude: float, recorded_at: datetime) -> bool:
    """This will keep a driver's position (WGS 84 degrees) unless a newer one is known, and say whether it did.

    The caller has checked that the driver is its own.
    """
    return services.record_position(
        driver_id=driver_id, latitude=latitude, longitude=longitude, recorded_at=recorded_at
    )


def record_audit(
    *,
    by: Subject,
    now: datetime,
    action: str,
    entity: str,
    entity_id: object,
    after: Mapping[str, Any],
    outcome: str,
) -> None:
    """This will write one audit entry on an act of a room above, in the caller's transaction if there is one."""
    log.audit(by=by, now=now, action=action, entity=entity, entity_id=entity_id, after=after, outcome=outcome)


def redeem_ticket(*, ticket: str, now: datetime) -> Subject | None:
    """This will use a socket's ticket up and return whom it stands for, None where it is no good."""
    return tickets.redeem(ticket=ticket, now=now)
