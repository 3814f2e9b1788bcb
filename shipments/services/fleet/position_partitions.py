"""The days of the table of positions: made ahead, and dropped whole when they are too old."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from shipments.services.fleet.plausibility import MAX_AGE

# The relay may be away for so long before rows go to the partition for everything else.
DAYS_AHEAD: Final = 7
_PARTITION_NAME: Final = re.compile(r"shipments_position_(\d{8})")
# Any number that nothing else of ours locks by.
_LOCK: Final = 0x706F7369
_SELECT_PARTITIONS: Final = """
SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'shipments_position'::regclass
"""
_MOVE_FROM_DEFAULT: Final = """
WITH moved AS (DELETE FROM shipments_position_other WHERE recorded_at >= %s AND recorded_at < %s RETURNING *)
INSERT INTO {} SELECT * FROM moved
"""


def maintain(*, now: datetime | None = None) -> int:
    """Make the days that positions may come for, drop those past retention, and return how many.

    One does it at a time; whoever finds another at it does nothing.
    """
    today = (now or timezone.now()).astimezone(UTC).date()
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
            # Detached first: the lock on the whole table is held for an instant, whatever the day holds.
            cursor.execute(f"ALTER TABLE shipments_position DETACH PARTITION {_partition_name(day)}")
            cursor.execute(f"DROP TABLE {_partition_name(day)}")
    return len(missing) + len(expired)


def _existing_days(cursor: CursorWrapper) -> set[date]:
    cursor.execute(_SELECT_PARTITIONS)
    matches = (_PARTITION_NAME.fullmatch(name) for (name,) in cursor.fetchall())
    return {datetime.strptime(found[1], "%Y%m%d").replace(tzinfo=UTC).date() for found in matches if found}


def _create_partition(cursor: CursorWrapper, day: date) -> None:
    """Make the partition of a day, with whatever had to go elsewhere without it."""
    span = [_midnight(day), _midnight(day + timedelta(days=1))]
    name = _partition_name(day)
    cursor.execute(f"CREATE TABLE {name} (LIKE shipments_position INCLUDING DEFAULTS INCLUDING INDEXES)")
    cursor.execute(_MOVE_FROM_DEFAULT.format(name), span)
    # Bounds are part of the definition: no parameters there.
    bounds = "FROM ('{}') TO ('{}')".format(*(each.isoformat() for each in span))
    cursor.execute(f"ALTER TABLE shipments_position ATTACH PARTITION {name} FOR VALUES {bounds}")


def _partition_name(day: date) -> str:
    return f"shipments_position_{day:%Y%m%d}"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
