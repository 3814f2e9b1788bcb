"""The queues of exports and imports for operators: gauges, a part of the JSON report, and lines of health."""

from collections.abc import Mapping
from typing import Any, Final

from django.db import connection

from exports import metrics
from exports.background import export_jobs
from exports.file_imports import import_jobs
from exports.reports import statistics
from monitoring.reports import json_reports

_JOB_TYPES: Final = (export_jobs.JOB_TYPE, import_jobs.JOB_TYPE)
# A relay takes a job within a second. Where all its workers are busy, the longest export takes some minutes.
UNWORKED_SECONDS: Final = 30
LONG_WAIT_SECONDS: Final = 900
_SQL: Final = """
SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'running'),
    coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE state = 'queued')), 0)
FROM {table} WHERE state IN ('queued', 'running')
"""


def sample() -> None:
    """Set the gauges of the queues from the database."""
    for kind, queue in read_queues().items():
        metrics.jobs.labels(kind, "queued").set(queue["queued"])
        metrics.jobs.labels(kind, "running").set(queue["running"])
        metrics.oldest_queued.labels(kind).set(queue["oldestQueuedSeconds"])


def report() -> dict[str, Any]:
    """Return the body of `/api/metrics/exports`: the runs of the last 24 hours, and the queues as they are now."""
    return statistics.report() | {"queues": read_queues()}


def health() -> Mapping[str, Any]:
    """Return the jobs' part of the detailed health check, from the gauges of this host."""
    samples = json_reports.host_samples()
    queues = {
        kind: {
            "queued": int(samples.total("background_jobs", kind=kind, state="queued")),
            "running": int(samples.total("background_jobs", kind=kind, state="running")),
            "oldestQueuedSeconds": samples.total("background_job_oldest_queued_seconds", kind=kind),
        }
        for kind in metrics.KINDS
    }
    problems = [problem for kind, queue in queues.items() if (problem := _problem(kind, queue))]
    status = {"status": "warning", "reason": "; ".join(problems)} if problems else {"status": "ok"}
    return {**status, **queues}


def _problem(kind: str, queue: Mapping[str, float]) -> str:
    waiting = f"{kind}: {queue['queued']} queued, the oldest for {queue['oldestQueuedSeconds']:.0f} s"
    if queue["oldestQueuedSeconds"] > UNWORKED_SECONDS and not queue["running"]:
        return f"{waiting}, and nothing works the queue: does manage.py relay run?"
    return waiting if queue["oldestQueuedSeconds"] > LONG_WAIT_SECONDS else ""


def read_queues() -> dict[str, dict[str, float]]:
    """Return how many exports and imports are queued and running, and the age of the oldest queued one."""
    queues = {}
    with connection.cursor() as cursor:
        for job_type in _JOB_TYPES:
            cursor.execute(_SQL.format(table=job_type.model._meta.db_table))  # noqa: SLF001  documented API of Django
            queued, running, oldest = cursor.fetchone()
            queues[job_type.name] = {
                "queued": queued,
                "running": running,
                "oldestQueuedSeconds": round(max(0.0, float(oldest)), 1),
            }
    return queues
