"""Reports of positions that are acknowledged although they show none: no later attempt would mend them."""

from typing import Final

import structlog

from shipments import metrics
from shipments.auth.subjects import Subject
from shipments.services import InvalidArgument

_log = structlog.get_logger("shipments.api")
ACCEPTED, IGNORED, REFUSED = "accepted", "ignored", "refused"
# What only the server can know: a client that checks its values by the schema cannot avoid it.
IGNORED_CODES: Final = ("too_old", "future", "null_island", "impossible_jump")


def count_ignored_position(subject: Subject, error: InvalidArgument) -> None:
    """Count and log a report that shows no position, by the code of its error."""
    reason = error.code if error.code in metrics.IGNORED_POSITION_REASONS else "unreadable"
    metrics.ignored_positions.labels(reason).inc()
    _log.info("position ignored", code=reason, driver=str(subject.driver_id), key=str(subject.key_id))
