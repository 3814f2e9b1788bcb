"""Work in the background that somebody ordered: two at a time for one user, taken up again after a kill.

What an order is about, and how it is done, is each line's own matter (exports, imports).
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
from django.db.models import F
from django.utils import timezone
from procrastinate import PsycopgConnector
from procrastinate.contrib.django import app
from rest_framework import status
from rest_framework.exceptions import APIException

from exports.models import Job
from shipments.auth import credentials
from shipments.auth.subjects import Forbidden, Subject
from shipments.parsing.query_parameters import InvalidFields, field_error
from shipments.selectors.async_pool import connection_arguments

log: Final = structlog.get_logger("exports")
MAX_OPEN_PER_USER: Final = 2
# One that ends its worker each time is not tried for ever.
MAX_ATTEMPTS: Final = 10
OPEN_STATES: Final = (Job.State.QUEUED, Job.State.RUNNING)
_shutdown: Final = threading.Event()


@dataclass(frozen=True)
class JobType:
    """One kind of work: its queue, what one order is called, the task that does one, half of its advisory locks."""

    name: str
    singular: str
    model: type[Job]
    task: str
    lock_namespace: int

    @property
    def jobs(self) -> Any:
        """All orders of the line."""
        return self.model._default_manager


class TooManyJobs(APIException):
    """The caller has as much work under way as one may."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "too_many"
    wait = 5


class AttemptSuperseded(Exception):
    """Somebody has cancelled the order, or another attempt has taken it over."""


# -- ordering ---------------------------------------------------------------------------------------------


def require_user_id(subject: Subject) -> uuid.UUID:
    """Return the user for whom a subject acts; raises Invalid for one who is none."""
    if subject.user_id is None:
        raise InvalidFields([field_error("", "invalid", "Only users order this.")])
    return subject.user_id


def lock_and_check_quota(job_type: JobType, owner: uuid.UUID) -> None:
    """Let orders of one user wait for each other until the transaction ends; raises TooMany."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{job_type.name} of {owner}"])
    if job_type.jobs.filter(owner_id=owner, state__in=OPEN_STATES).count() >= MAX_OPEN_PER_USER:
        raise TooManyJobs(
            f"You have {MAX_OPEN_PER_USER} {job_type.name} under way; wait for one to end or cancel it."
        )


def enqueue(job_type: JobType, job: Job) -> None:
    """Put an order into the workers' queue, in the caller's transaction."""
    task_arguments = {f"{job_type.singular}_id": str(job.pk)}
    job.job_id = app.configure_task(job_type.task, queue=job_type.name).defer(**task_arguments)
    job.save(update_fields=["job_id"])


def owned_by(job_type: JobType, viewer: Subject) -> Any:
    """Return the orders that are the viewer's own."""
    return job_type.jobs.filter(organization_id=viewer.organization_id, owner_id=require_user_id(viewer))


# -- working ----------------------------------------------------------------------------------------------


def work_batch(job_type: JobType) -> int:
    """Do what is queued, one after the other, and return how many were waiting."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM procrastinate_jobs WHERE queue_name = %s AND status = 'todo'", [job_type.name]
        )
        waiting = int(cursor.fetchone()[0])
    connection.close()  # the thread may now be busy for minutes
    if waiting and not _shutdown.is_set():
        asyncio.run(_run_worker(job_type))
    return waiting


def request_shutdown() -> None:
    """Make the work of this process stop; what it had begun is taken up by the next one."""
    _shutdown.set()


def is_shutting_down() -> bool:
    """Tell whether this process is to stop its work."""
    return _shutdown.is_set()


async def _run_worker(job_type: JobType) -> None:
    kwargs = connection_arguments("jobs", "-c timezone=UTC -c lock_timeout=2000")
    del kwargs["autocommit"]
    connector = PsycopgConnector(kwargs=kwargs, min_size=1, max_size=2)
    # An application of its own: other threads go on ordering through Django's connections.
    async with app.with_connector(connector).open_async() as worker_app:
        await worker_app.run_worker_async(
            queues=[job_type.name], wait=False, listen_notify=False, install_signal_handlers=False,
            delete_jobs="always",
        )  # fmt: skip


@contextmanager
def claimed(job_type: JobType, job_id: uuid.UUID, **initial: Any) -> Iterator[Any]:
    """Hold an order and count its attempt, unless somebody else has it or it was cancelled: then None.

    The session is the witness: PostgreSQL frees the lock in the moment in which a killed process's socket closes.
    `fresh`: what else an attempt begins with.
    """
    with psycopg.connect(**connection_arguments(f"{job_type.name} job", "-c idle_session_timeout=0")) as session:
        row = session.execute(
            "SELECT pg_try_advisory_lock(%s, hashtext(%s))", [job_type.lock_namespace, str(job_id)]
        ).fetchone()
        started = row and row[0] and job_type.jobs.filter(pk=job_id, state=Job.State.QUEUED).update(
            state=Job.State.RUNNING, attempt=F("attempt") + 1, started_at=timezone.now(), **initial
        )  # fmt: skip
        yield job_type.jobs.get(pk=job_id) if started else None


def current_attempt(job_type: JobType, job: Job) -> Any:
    """Return the order as long as this attempt is the one that counts."""
    return job_type.jobs.filter(pk=job.pk, attempt=job.attempt, state=Job.State.RUNNING)


def subject_of(job: Job) -> Subject:
    """Return whom an order is done for, as they may today; raises Forbidden."""
    subject = credentials.subject_of_user(job.owner_id, key_id=job.key_id, now=timezone.now())
    if subject is None or subject.organization_id != job.organization_id:
        raise Forbidden("Whoever ordered it has no access any more.")
    return subject.with_request_origin(address=job.address, request_id=job.request_id)


def requeue_stalled_batch(job_type: JobType, on_stalled: Callable[[Any], None]) -> int:
    """Queue again what is running without a worker, which was killed; returns how many.

    `lost` ends what the killed attempt had begun, in the transaction that queues it again; it may set `done`.
    """
    requeued = 0
    for job in job_type.jobs.filter(state=Job.State.RUNNING).order_by("started_at")[:100]:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", [job_type.lock_namespace, str(job.pk)]
            )
            if cursor.fetchone()[0]:  # else it is being worked on
                requeued += _requeue(job_type, job, on_stalled)
    return requeued


def _requeue(job_type: JobType, stalled: Job, on_stalled: Callable[[Any], None]) -> int:
    job = current_attempt(job_type, stalled).select_for_update().first()
    if job is None:
        return 0
    on_stalled(job)
    _delete_queue_entry(job.job_id)
    if job.attempt >= MAX_ATTEMPTS:
        job.state, job.error = Job.State.FAILED, "Its worker ended each time that it was tried."
        job.finished_at = timezone.now()
        job.save(update_fields=["state", "error", "finished_at"])
        return 1
    job.state = Job.State.QUEUED
    job.save(update_fields=["state", "done"])
    enqueue(job_type, job)
    log.warning("taken up again", line=job_type.name, order=str(job.pk), attempt=job.attempt)
    return 1


def _delete_queue_entry(job_id: int | None) -> None:
    """Take the killed worker's job out of the queue's table."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs WHERE id = %s", [job_id])
