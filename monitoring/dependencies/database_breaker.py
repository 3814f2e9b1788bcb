"""The circuit breaker of PostgreSQL: opened and closed by the health check, not by calls.

A call to a frozen PostgreSQL fails only after seconds, so no request may be the trial that finds out whether it
answers again. The check has a connection of its own and asks all the time.
"""

import time
from typing import Final

import structlog

from monitoring.dependencies import deadlines
from monitoring.dependencies.breaker import BreakerState, report_state
from monitoring.dependencies.probes import DOES_NOT_ANSWER

_log = structlog.get_logger("monitoring.breaker")
# Whatever the check says: a database that has just answered a query is not gone. A busy machine may be late.
_PROOF_SECONDS: Final = 1.0


def record_check(error: str | None) -> None:
    """Open or close the breaker by the last error of the health check, None where PostgreSQL answers."""
    outage, was_known = deadlines.database_outage, deadlines.database_outage.is_known
    if error != DOES_NOT_ANSWER:
        outage.is_known = False
    elif time.monotonic() - outage.answered_at > _PROOF_SECONDS:
        outage.is_known = True
    if outage.is_known != was_known:
        report_state("database", BreakerState.OPEN if outage.is_known else BreakerState.CLOSED)
        _log.warning(
            "circuit breaker is open"
            if outage.is_known
            else "circuit breaker is closed: the dependency answers again",
            dependency="database",
            consequence="what needs PostgreSQL is answered with 503 at once",
        )
