"""Daily partitions of the table of positions: created ahead, dropped whole after the retention period."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from monitoring import clock
from shipments.services.fleet.plausibility import MAX_AGE

# The relay may be down this long before rows go to the default partition.
DAYS_AHEAD: Final = 7
_PARTITION_NAME: Final = re.compile(r"shipments_position_(\d{8})")
# Key of the advisory lock: any number that no other lock of the product has.
_LOCK: Final = 0x706F7369
_SELECT_PARTITIONS: Final = """
SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'shipments_position'::regclass
"""
_MOVE_FROM_DEFAULT: Final = """
WITH moved AS (DELETE FROM shipments_position_other WHERE recorded_at >= %s AND recorded_at < %s RETURNING *)
INSERT INTO {} SELECT * FROM moved
"""


def maintain(*, now: datetime | None = None) -> int:
    """Create the partitions that positions may need, drop the expired ones, and return how many of both.

    One process at a time: where another holds the advisory lock, nothing is done.
    """
    today = (now or clock.now()).astimezone(UTC).date()
    first = today - timedelta(days=settings.POSITION_RETENTION_DAYS)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        existing = _existing_days(cursor)
        missing = [
            day
            for offset in range(-MAX_AGE.days, DAYS_AHEAD + 1)
            if (day := today + timedelta(days=offset)) not in existing
        ]
        for day in missing:
            _create_partition(cursor, day)
        cursor.execute("DELETE FROM shipments_position_other WHERE recorded_at < %s", [_midnight(first)])
        expired = sorted(day for day in existing if day < first)
        for day in expired:
            # Detached first, so that the lock on the whole table is short whatever the size of the day.
            cursor.execute(f"ALTER TABLE shipments_position DETACH PARTITION {_partition_name(day)}")
            cursor.execute(f"DROP TABLE {_partition_name(day)}")
    return len(missing) + len(expired)


def _existing_days(cursor: CursorWrapper) -> set[date]:
    cursor.execute(_SELECT_PARTITIONS)
    matches = (_PARTITION_NAME.fullmatch(name) for (name,) in cursor.fetchall())
    return {datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC).date() for match in matches if match}


def _create_partition(cursor: CursorWrapper, day: date) -> None:
    """Create the partition of a day, and move its rows there from the default partition."""
    span = [_midnight(day), _midnight(day + timedelta(days=1))]
    name = _partition_name(day)
    cursor.execute(f"CREATE TABLE {name} (LIKE shipments_position INCLUDING DEFAULTS INCLUDING INDEXES)")
    cursor.execute(_MOVE_FROM_DEFAULT.format(name), span)
    # Bounds are part of the definition, which takes no parameters.
    bounds = "FROM ('{}') TO ('{}')".format(*(each.isoformat() for each in span))
    cursor.execute(f"ALTER TABLE shipments_position ATTACH PARTITION {name} FOR VALUES {bounds}")


def _partition_name(day: date) -> str:
    return f"shipments_position_{day:%Y%m%d}"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
