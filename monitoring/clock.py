"""The clock by which times are stored and judged: the database's, as far as this process knows it.

Several hosts write into one database, and each has a clock of its own. Every process compares its clock with
PostgreSQL's several times a minute, and `now()` takes out what it differs by: `recordedAt` is in one order, and no
report of a client is refused as "in the future" because of one server's clock (docs/decisions/0054).
"""

import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import connection
from django.utils import timezone

from monitoring import metrics
from monitoring.prometheus import multiprocess

_log = structlog.get_logger("monitoring.clock")
# A smaller difference is noise of the measurement, and is left alone.
TOLERANCE_SECONDS: Final = 1.0
# A larger one is a fault of the host, which health and metrics show.
WARN_SECONDS: Final = 5.0
QUERY: Final = "SELECT extract(epoch FROM clock_timestamp())::float8"
# An answer that took longer says too little about when it was given.
_LONGEST_ROUND_TRIP: Final = 1.0
_REFRESH_SECONDS: Final = 5.0


@dataclass
class _Comparison:
    """The last comparison: host minus database in seconds, and when it was made on the monotonic clock."""

    skew: float = 0.0
    measured_at: float = float("-inf")


_last: Final = _Comparison()
_lock: Final = threading.Lock()


def now() -> datetime:
    """Return the time of the database's clock, from this host's and what it was last known to differ by."""
    skew = _last.skew
    current = timezone.now()
    return current - timedelta(seconds=skew) if abs(skew) > TOLERANCE_SECONDS else current


def compared_now() -> datetime:
    """Compare the clocks as `refresh` does and return `now`: for a command, which compares them nowhere else."""
    refresh()
    return now()


def skew() -> float:
    """Return by how many seconds this host's clock is ahead of the database's; negative where it is behind."""
    return _last.skew


def observe(*, before: float, database: float, after: float) -> None:
    """Take one comparison: this host's time before and after the database gave its own, in seconds since 1970."""
    if not 0 <= after - before <= _LONGEST_ROUND_TRIP:
        return
    skew = (before + after) / 2 - database
    with _lock:
        previous, _last.skew, _last.measured_at = _last.skew, skew, time.monotonic()
    metrics.clock_skew.labels(multiprocess.process_name()).set(round(skew, 3))
    if (abs(skew) > WARN_SECONDS) != (abs(previous) > WARN_SECONDS):
        _log.warning("clock skew changed", seconds=round(skew, 3))


def refresh() -> None:
    """Compare the clocks by Django's connection unless that was done in the last seconds; raises DatabaseError."""
    if time.monotonic() - _last.measured_at < _REFRESH_SECONDS:
        return
    with connection.cursor() as cursor:
        before = time.time()
        cursor.execute(QUERY)
        observe(before=before, database=cursor.fetchone()[0], after=time.time())


def reset() -> None:
    """Forget the comparison, for tests."""
    _last.skew, _last.measured_at = 0.0, float("-inf")


def description(seconds: float) -> str:
    """Return a skew in words: `is 600 s ahead of the database's clock`."""
    return f"is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} the database's clock"
