"""Statistics of exports over all processes, from the table of runs."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

from exports.models import Run
from monitoring import clock

WINDOW: Final = timedelta(hours=24)
RETENTION: Final = timedelta(days=30)
_COUNTS: Final = """
SELECT format, outcome, count(*), sum(rows)::bigint, sum(bytes)::bigint,
       count(*) FILTER (WHERE cached), count(*) FILTER (WHERE NOT cached)
FROM exports_run WHERE started_at >= %s OR outcome = 'running' GROUP BY format, outcome
"""
_DURATIONS: Final = """
SELECT avg(ms), percentile_cont(0.95) WITHIN GROUP (ORDER BY ms)
FROM (SELECT extract(epoch FROM ended_at - started_at) * 1000 AS ms
      FROM exports_run WHERE started_at >= %s AND outcome = 'done') AS done
"""


def report() -> dict[str, Any]:
    """Return the body of `/api/metrics/exports`: the last 24 hours."""
    return since(clock.now() - WINDOW)


def since(at: datetime) -> dict[str, Any]:
    """Return the report on runs that started at or after `at`, and all running ones. Durations are milliseconds."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, [at])
        counts = cursor.fetchall()
        cursor.execute(_DURATIONS, [at])
        average, p95 = cursor.fetchone()
    by_format: Counter[str] = Counter()
    by_outcome: Counter[str] = Counter({each: 0 for each in Run.Outcome.values if each != Run.Outcome.RUNNING})
    rows = sent = hits = misses = running = 0
    for file_format, outcome, count, group_rows, group_bytes, group_hits, group_misses in counts:
        by_format[file_format] += count
        if outcome == Run.Outcome.RUNNING:
            running += count
            continue
        by_outcome[outcome] += count
        rows += group_rows if outcome == Run.Outcome.DONE else 0
        sent += group_bytes
        hits += group_hits
        misses += group_misses
    return {
        "total": sum(by_format.values()),
        "byFormat": dict(by_format),
        "byOutcome": dict(by_outcome),
        "running": running,
        "averageMs": round(float(average or 0), 1),
        "p95Ms": round(float(p95 or 0), 1),
        "rows": rows,
        "bytes": sent,
        "cache": {"hits": hits, "misses": misses},
        "windowSeconds": int(WINDOW.total_seconds()),
    }


def purge_batch(now: datetime) -> int:
    """Delete up to 1,000 runs older than `RETENTION` and return how many."""
    old = Run.objects.filter(started_at__lt=now - RETENTION).order_by("started_at").values("pk")[:1000]
    deleted, _ = Run.objects.filter(pk__in=old).delete()
    return deleted
