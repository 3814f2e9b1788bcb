"""Background jobs of users: a quota of two open jobs each, run by procrastinate, requeued after a crash.

Exports and imports each have a `JobType`; their own modules do the work.
"""

import asyncio
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import structlog
from django.db import connection, transaction
from django.db.models import BooleanField, F
from django.db.models.expressions import RawSQL
from procrastinate import PsycopgConnector
from procrastinate.contrib.django import app
from rest_framework import status
from rest_framework.exceptions import APIException

from exports.models import Job
from monitoring import clock
from shipments.auth import credentials
from shipments.auth.subjects import Forbidden, Subject
from shipments.parsing.query_parameters import InvalidFields, field_error
from shipments.selectors.async_pool import connection_arguments

log: Final = structlog.get_logger("exports")
MAX_OPEN_PER_USER: Final = 2
# A job that kills its worker each time fails after this many attempts.
MAX_ATTEMPTS: Final = 10
OPEN_STATES: Final = (Job.State.QUEUED, Job.State.RUNNING)
_BATCH: Final = 100
# From the fetch of a queue's entry to the claim of its job takes a worker milliseconds, unless something is locked.
_CLAIM_SECONDS: Final = 5
_IS_PENDING_SQL: Final = """
EXISTS (
    SELECT FROM procrastinate_jobs entry WHERE entry.id = job_id AND (
        entry.status = 'todo' OR entry.status = 'doing' AND EXISTS (
            SELECT FROM procrastinate_events fetched WHERE fetched.job_id = entry.id AND fetched.type = 'started'
            AND fetched.at > now() - make_interval(secs => %s)
        )
    )
)
"""
_shutdown: Final = threading.Event()


@dataclass(frozen=True)
class JobType:
    """One kind of background job.

    `name` is its queue, `task` its procrastinate task, whose argument is `{singular}_id`; `lock_namespace` is the
    first key of its advisory locks.
    """

    name: str
    singular: str
    model: type[Job]
    task: str
    lock_namespace: int

    @property
    def jobs(self) -> Any:
        """All jobs of this type."""
        return self.model._default_manager  # noqa: SLF001  documented API of Django; `Job` itself has no `objects`


class TooManyJobs(APIException):
    """The caller has `MAX_OPEN_PER_USER` open jobs of this type: 429."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "too_many"
    wait = 5


class AttemptSuperseded(Exception):
    """The job was cancelled, or a newer attempt has claimed it."""


# -- creating ---------------------------------------------------------------------------------------------


def require_user_id(subject: Subject) -> uuid.UUID:
    """Return the user's id of a subject; raises InvalidFields for a subject that is no user."""
    if subject.user_id is None:
        raise InvalidFields([field_error("", "invalid", "Only users can order this.")])
    return subject.user_id


def lock_and_check_quota(job_type: JobType, owner: uuid.UUID) -> None:
    """Lock the owner's quota until the transaction ends; raises TooManyJobs where it is used up.

    The caller holds the transaction in which it creates the job.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{job_type.name} of {owner}"])
    if job_type.jobs.filter(owner_id=owner, state__in=OPEN_STATES).count() >= MAX_OPEN_PER_USER:
        raise TooManyJobs(
            f"You have {MAX_OPEN_PER_USER} unfinished {job_type.name}; wait for one to finish or cancel it."
        )


def enqueue(job_type: JobType, job: Job) -> None:
    """Enqueue the job's task, in the caller's transaction."""
    task_arguments = {f"{job_type.singular}_id": str(job.pk)}
    job.job_id = app.configure_task(job_type.task, queue=job_type.name).defer(**task_arguments)
    job.save(update_fields=["job_id"])


def owned_by(job_type: JobType, viewer: Subject) -> Any:
    """Return the viewer's own jobs; raises InvalidFields for a subject that is no user."""
    return job_type.jobs.filter(organization_id=viewer.organization_id, owner_id=require_user_id(viewer))


# -- working ----------------------------------------------------------------------------------------------


def work_batch(job_type: JobType) -> int:
    """Run the queued jobs of this type, one after the other, and return how many were waiting.

    Blocks the calling thread, for minutes perhaps; it must have no running event loop.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM procrastinate_jobs WHERE queue_name = %s AND status = 'todo'", [job_type.name]
        )
        waiting = int(cursor.fetchone()[0])
    connection.close()  # the thread may be busy for minutes
    if waiting and not _shutdown.is_set():
        asyncio.run(_run_worker(job_type))
    return waiting


def request_shutdown() -> None:
    """Make the jobs of this process stop soon; they are requeued and continue in another process."""
    _shutdown.set()


def is_shutting_down() -> bool:
    """Return whether this process must stop its jobs."""
    return _shutdown.is_set()


async def _run_worker(job_type: JobType) -> None:
    kwargs = connection_arguments("jobs", "-c timezone=UTC -c lock_timeout=2000")
    del kwargs["autocommit"]
    connector = PsycopgConnector(kwargs=kwargs, min_size=1, max_size=2)
    # A connector of its own: other threads keep enqueueing through Django's connections.
    async with app.with_connector(connector).open_async() as worker_app:
        await worker_app.run_worker_async(
            queues=[job_type.name], wait=False, listen_notify=False, install_signal_handlers=False,
            delete_jobs="always",
        )  # fmt: skip


@contextmanager
def claimed(job_type: JobType, job_id: uuid.UUID, **initial: Any) -> Iterator[Any]:
    """Claim a queued job: lock it, mark it as running and count the attempt. `initial` are more fields to set.

    Yields the job, or None where another worker has it or it is not queued. The lock is a session advisory lock on
    a connection of its own: PostgreSQL releases it as soon as the socket of a killed process closes.
    """
    with psycopg.connect(**connection_arguments(f"{job_type.name} job", "-c idle_session_timeout=0")) as session:
        row = session.execute(
            "SELECT pg_try_advisory_lock(%s, hashtext(%s))", [job_type.lock_namespace, str(job_id)]
        ).fetchone()
        started = row and row[0] and job_type.jobs.filter(pk=job_id, state=Job.State.QUEUED).update(
            state=Job.State.RUNNING, attempt=F("attempt") + 1, started_at=clock.now(), **initial
        )  # fmt: skip
        yield job_type.jobs.get(pk=job_id) if started else None


def current_attempt(job_type: JobType, job: Job) -> Any:
    """Return a queryset of the job, empty where it was cancelled or a newer attempt has claimed it.

    Results are stored only through its `update()`.
    """
    return job_type.jobs.filter(pk=job.pk, attempt=job.attempt, state=Job.State.RUNNING)


def subject_of(job: Job) -> Subject:
    """Return the subject for whom a job runs, with today's permissions; raises Forbidden where it has no access."""
    subject = credentials.subject_of_user(job.owner_id, key_id=job.key_id, now=clock.now())
    if subject is None or subject.organization_id != job.organization_id:
        raise Forbidden("The user who ordered it no longer has access.")
    return subject.with_request_origin(address=job.address, request_id=job.request_id)


def requeue_stalled_batch(job_type: JobType, on_stalled: Callable[[Any], None]) -> int:
    """Requeue up to 100 jobs that no worker will finish, and return how many.

    Such a job is running, and its worker was killed; or it is queued, and its entry in the queue is gone or was
    fetched by a worker that never claimed the job. `on_stalled` cleans up after a killed attempt, in the
    transaction that requeues the job; it may set `done`.
    """
    requeued = 0
    running = job_type.jobs.filter(state=Job.State.RUNNING).order_by("started_at")[:_BATCH]
    for job in (*running, *_forgotten(job_type)):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", [job_type.lock_namespace, str(job.pk)]
            )
            if cursor.fetchone()[0]:  # else a worker holds it
                requeued += _requeue(job_type, job, on_stalled)
    return requeued


def _forgotten(job_type: JobType) -> list[Any]:
    """Return queued jobs without an entry that a worker may still fetch, or has fetched just now, to claim it."""
    is_pending = RawSQL(_IS_PENDING_SQL, [_CLAIM_SECONDS], output_field=BooleanField())  # noqa: S611  no input
    return list(job_type.jobs.filter(~is_pending, state=Job.State.QUEUED).order_by("created_at")[:_BATCH])


def _requeue(job_type: JobType, stalled: Job, on_stalled: Callable[[Any], None]) -> int:
    job = (
        job_type.jobs.select_for_update()
        .filter(pk=stalled.pk, attempt=stalled.attempt, state=stalled.state)
        .first()
    )
    if job is None:
        return 0
    if job.state == Job.State.RUNNING:
        on_stalled(job)
    _delete_queue_entry(job.job_id)
    if job.attempt >= MAX_ATTEMPTS:
        job.state, job.error = Job.State.FAILED, "Every attempt ended its worker process."
        job.finished_at = clock.now()
        job.save(update_fields=["state", "error", "finished_at"])
        return 1
    job.state = Job.State.QUEUED
    job.save(update_fields=["state", "done"])
    enqueue(job_type, job)
    log.warning("stalled job requeued", queue=job_type.name, job=str(job.pk), attempt=job.attempt)
    return 1


def _delete_queue_entry(job_id: int | None) -> None:
    """Delete the killed worker's entry from procrastinate's table."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs WHERE id = %s", [job_id])
