"""The queue of background jobs: their own rows. Claim the one whose turn it is, and requeue what has no worker.

A job is claimed in one transaction, under a session's advisory lock that the worker holds as long as it works. At
whatever point a worker is killed, the job is queued, or it is running and its lock is free: `requeue_stalled_batch`
finds the latter. There is no third state (docs/decisions/0050).
"""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import psycopg
import structlog
from django.db import Error, InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Q

from exports.background.jobs import JobType, ShuttingDown, current_attempt
from exports.concurrency_limit import ServerBusy
from exports.models import Job
from monitoring import clock
from shipments.intake import OutcomeUnknown
from shipments.selectors.async_pool import connection_arguments

log: Final = structlog.get_logger("exports")
# Of one organisation, over all relays. A relay has one worker more, so that another organisation's job can start.
MAX_RUNNING_PER_ORGANIZATION: Final = 2
# A job that kills its worker each time fails after this many attempts.
MAX_ATTEMPTS: Final = 10
# Attempts that a lock, an outage or a restart ended are not counted in those. With the pauses: about an hour.
MAX_INTERRUPTIONS: Final = 60
_MAX_PAUSE_SECONDS: Final = 64
_BATCH: Final = 100
# The job may succeed as it is, once what held it up is over. Other errors of the database are repeated, too, but
# count as attempts: they may be the job's own fault.
_INTERRUPTIONS: Final = (
    OperationalError,
    InterfaceError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    OutcomeUnknown,
    ServerBusy,
    ShuttingDown,
)
REPEATED: Final = (*_INTERRUPTIONS, Error, psycopg.Error)
# The organisation with the fewest running jobs comes first, then the one whose last job started longest ago; among
# its users likewise. A row that is locked, by its cancellation perhaps, is passed over.
_NEXT_SQL: Final = """
WITH ready AS MATERIALIZED (
    SELECT id, organization_id, owner_id FROM {table}
    WHERE state = 'queued' AND (retry_at IS NULL OR retry_at <= now())
), running AS MATERIALIZED (
    SELECT organization_id, owner_id FROM {table} WHERE state = 'running'
), organizations AS (
    SELECT organization_id,
        (SELECT count(*) FROM running WHERE running.organization_id = each.organization_id) AS running,
        (SELECT max(started_at) FROM {table} job WHERE job.organization_id = each.organization_id) AS served_at
    FROM (SELECT DISTINCT organization_id FROM ready) each
), owners AS (
    SELECT owner_id,
        (SELECT count(*) FROM running WHERE running.owner_id = each.owner_id) AS running,
        (SELECT max(started_at) FROM {table} job WHERE job.owner_id = each.owner_id) AS served_at
    FROM (SELECT DISTINCT owner_id FROM ready) each
)
SELECT job.id FROM {table} job
JOIN ready ON ready.id = job.id
JOIN organizations ON organizations.organization_id = ready.organization_id
JOIN owners ON owners.owner_id = ready.owner_id
WHERE job.state = 'queued' AND organizations.running < %s
ORDER BY organizations.running, organizations.served_at NULLS FIRST, owners.running, owners.served_at NULLS FIRST,
    job.created_at, job.id
LIMIT 1 FOR UPDATE OF job SKIP LOCKED
"""
_shutdown: Final = threading.Event()


def request_shutdown() -> None:
    """Make the jobs of this process stop soon; they are requeued and continue in another process."""
    _shutdown.set()


def is_shutting_down() -> bool:
    """Return whether this process must stop its jobs."""
    return _shutdown.is_set()


def work_batch(job_type: JobType, run: Callable[[Any], None], **initial: Any) -> int:
    """Claim the job whose turn it is, run it and return 1; return 0 where there is none.

    `run` stores the job's end; it raises one of `REPEATED` where the job shall be repeated. `initial` are fields to
    set with the claim. Blocks the calling thread, for minutes perhaps.
    """
    is_ready = Q(retry_at=None) | Q(retry_at__lte=clock.now())
    if _shutdown.is_set() or not job_type.jobs.filter(is_ready, state=Job.State.QUEUED).exists():
        return 0
    with _claimed(job_type, initial) as job:
        if job is None:
            return 0
        try:
            run(job)
        except REPEATED as error:
            log.warning("job interrupted", queue=job_type.name, job=str(job.pk), error=repr(error))
            _store_interruption(job_type, job, error)
    return 1


@contextmanager
def _claimed(job_type: JobType, initial: dict[str, Any]) -> Iterator[Any]:
    """Yield the job whose turn it is, claimed for this worker, or None where there is none.

    The claim is a session's advisory lock on a connection of its own: PostgreSQL releases it as soon as the socket
    of a killed process closes.
    """
    with psycopg.connect(**connection_arguments(f"{job_type.name} job", "-c idle_session_timeout=0")) as session:
        yield _claim(job_type, session, initial)


def _claim(job_type: JobType, session: psycopg.Connection[Any], initial: dict[str, Any]) -> Any:
    """Mark the next job as running, in one transaction, and return it; the session then holds its lock.

    One claim at a time, else two could exceed an organisation's share together.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"claim of {job_type.name}"])
        if not cursor.fetchone()[0]:
            return None
        cursor.execute(
            _NEXT_SQL.format(table=job_type.model._meta.db_table),  # noqa: SLF001  documented API of Django
            [MAX_RUNNING_PER_ORGANIZATION],
        )
        row = cursor.fetchone()
        if row is None:
            return None
        lock = session.execute(
            "SELECT pg_try_advisory_lock(%s, hashtext(%s))", [job_type.lock_namespace, str(row[0])]
        ).fetchone()
        return _mark_running(job_type, row[0], initial) if lock and lock[0] else None


def _mark_running(job_type: JobType, job_id: uuid.UUID, initial: dict[str, Any]) -> Any:
    job_type.jobs.filter(pk=job_id).update(
        state=Job.State.RUNNING, attempt=F("attempt") + 1, started_at=clock.now(), **initial
    )
    return job_type.jobs.get(pk=job_id)


def _store_interruption(job_type: JobType, job: Job, error: Exception) -> None:
    """Count an interrupted attempt as such; the job stays running, and is requeued once its lock is free.

    Tries until the database takes it: an attempt without this note counts as one that killed its worker. Gives up
    where the process shuts down.
    """
    pause = timedelta(seconds=0 if isinstance(error, ShuttingDown) else 2 ** min(job.interruptions, 6))
    more = 1 if isinstance(error, _INTERRUPTIONS) else 0
    while True:
        try:
            current_attempt(job_type, job).update(
                interruptions=F("interruptions") + more, retry_at=clock.now() + pause
            )
        except (OperationalError, InterfaceError) as another:
            log.warning("interruption not stored", job=str(job.pk), error=type(another).__name__)
            connection.close()
            if _shutdown.wait(1):
                return
        else:
            return


def requeue_stalled_batch(
    job_type: JobType, on_stalled: Callable[[Any], None], publish: Callable[[Any], None]
) -> int:
    """Requeue up to 100 running jobs that no worker holds and return how many.

    `on_stalled` cleans up after the ended attempt, in the transaction that requeues the job; it may set `done`. One
    without attempts left fails, which `publish` tells after the commit.
    """
    requeued = 0
    for job in job_type.jobs.filter(state=Job.State.RUNNING).order_by("started_at")[:_BATCH]:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", [job_type.lock_namespace, str(job.pk)]
            )
            if cursor.fetchone()[0]:  # else a worker holds it
                requeued += _requeue(job_type, job, on_stalled, publish)
    return requeued


def _requeue(
    job_type: JobType, stalled: Job, on_stalled: Callable[[Any], None], publish: Callable[[Any], None]
) -> int:
    # A row that is locked, by its cancellation perhaps, must not hold up the others.
    job = current_attempt(job_type, stalled).select_for_update(skip_locked=True).first()
    if job is None:
        return 0
    error = _last_error(job)
    job.state = Job.State.FAILED if error else Job.State.QUEUED
    on_stalled(job)
    if error:
        job.error, job.finished_at = error, clock.now()
        transaction.on_commit(lambda: publish(job))
    job.save(update_fields=["state", "error", "finished_at", "done"])
    log.warning("stalled job requeued", queue=job_type.name, job=str(job.pk), attempt=job.attempt, error=error)
    return 1


def _last_error(job: Job) -> str:
    """Return why a job gets no further attempt, empty where it gets one."""
    if job.attempt - job.interruptions >= MAX_ATTEMPTS:
        return "Every attempt ended its worker process."
    if job.interruptions >= MAX_INTERRUPTIONS:
        return "The database or a renderer was not free at any of many attempts in an hour; order it again."
    return ""
