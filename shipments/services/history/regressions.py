"""A database that went back to an earlier state of its epoch is noticed, and gets a new generation by itself.

A base backup or a disk snapshot that is started has the epoch that it was taken in, and lacks what came later.
`check` runs when a process starts and every second in one process of each host; a hub reports rooms whose head is
below what it has delivered (`report_lost_heads`). Two that notice at once make one generation.
"""

import time
import uuid
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from django.db import DatabaseError, InterfaceError, connection

from monitoring import clock
from monitoring.reports import json_reports
from shipments import metrics
from shipments.auth import subjects
from shipments.services.history import generations, watermarks
from shipments.services.history.generations import EpochChange

_log = structlog.get_logger(__name__)
# More than any clock of a host that writes events is ahead of another's, at some ten events a second.
WITNESSES: Final = 64
# For how long health shows it.
SHOWN_SECONDS: Final = 24 * 3600
_STATE: Final = """
SELECT freight_epoch(),
       (SELECT extract(epoch FROM went_back_at)::float8 FROM shipments_generation),
       ARRAY(SELECT id::text FROM shipments_shipmentevent ORDER BY id DESC LIMIT %s)
"""
_MISSING: Final = """
SELECT count(*) FROM unnest(%s::uuid[]) AS known(id)
 WHERE NOT EXISTS (SELECT FROM shipments_shipmentevent event WHERE event.id = known.id)
"""
# Neither shipments nor organisations are ever removed: one that is missing has lost its events, too.
_BELOW: Final = """
SELECT count(*) FROM unnest(%s::uuid[], %s::bigint[]) AS known(id, head)
  LEFT JOIN shipments_shipment shipment ON shipment.id = known.id
 WHERE known.head > COALESCE(shipment.seq, (
     SELECT max(position) FROM shipments_feedentry WHERE organization_id = known.id), 0)
"""


def check() -> EpochChange | None:
    """Compare the database with the watermark of its epoch, and advance that where the database has all of it.

    Return the change of a new generation. Raises DatabaseError where the database cannot be read, or is a replica:
    one that lags has lost nothing.
    """
    with connection.cursor() as cursor:
        cursor.execute(_STATE, [WITNESSES])
        epoch, went_back_at, newest = cursor.fetchone()
    metrics.went_back_at.set(went_back_at or 0)
    known = watermarks.load(epoch)
    if known and _count(_MISSING, list(known)):
        return _begin(
            f"{len(known)} newest known events looked for, some are gone",
            lambda current: current == epoch and _count(_MISSING, list(known)) > 0,
        )
    watermarks.advance(epoch, newest)
    return None


def try_check() -> None:
    """Check before a process works and after; where the database does not answer, another check will do."""
    try:
        check()
    except (DatabaseError, InterfaceError) as error:
        _log.info("history not checked", error=repr(error))
    finally:
        connection.close()


def report_lost_heads(epoch: str, delivered: Mapping[uuid.UUID, int]) -> EpochChange | None:
    """Begin a new generation where rooms of this epoch have heads below what was delivered, by their keys."""
    arrays: Collection[Any] = (list(delivered), list(delivered.values()))
    return _begin(
        f"{len(delivered)} rooms have a head below what was delivered",
        lambda current: current == epoch and _count(_BELOW, *arrays) > 0,
    )


def health() -> dict[str, Any]:
    """Return the part of detailed health about the history: a warning for a day after the database went back."""
    at = json_reports.host_samples().total("database_went_back_timestamp_seconds")
    if time.time() - at > SHOWN_SECONDS:
        return {"status": "ok"}
    noticed = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    return {"status": "warning", "reason": f"the database had lost events at {noticed}, and has a new epoch"}


def _begin(evidence: str, is_still_needed: Callable[[str], bool]) -> EpochChange | None:
    change = generations.begin_generation(
        by=subjects.installation_subject(name="history check"), now=clock.compared_now(),
        reason=f"the database went back: {evidence}", went_back=True, is_still_needed=is_still_needed,
    )  # fmt: skip
    if change is not None:
        metrics.went_back.inc()
        metrics.went_back_at.set(time.time())
        _log.error(
            "the database went back and has a new epoch", evidence=evidence, before=change.before,
            after=change.after,
        )  # fmt: skip
    return change


def _count(sql: str, *arguments: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        return int(cursor.fetchone()[0])
