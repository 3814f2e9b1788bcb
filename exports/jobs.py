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
from shipments import credentials
from shipments.access import Forbidden, Subject
from shipments.selectors.live import connection_arguments
from shipments.selectors.parameters import Invalid, field_error

log: Final = structlog.get_logger("exports")
MOST_RUNNING: Final = 2
# One that ends its worker each time is not tried for ever.
MOST_ATTEMPTS: Final = 10
OPEN: Final = (Job.State.QUEUED, Job.State.RUNNING)
_leaving: Final = threading.Event()


@dataclass(frozen=True)
class Line:
    """One kind of work: its queue, what one order is called, the task that does one, half of its advisory locks."""

    name: str
    one: str
    model: type[Job]
    task: str
    lock: int

    @property
    def orders(self) -> Any:
        """All orders of the line."""
        return self.model._default_manager  # noqa: SLF001  an abstract model has no `objects`


class TooMany(APIException):
    """The caller has as much work under way as one may."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "too_many"
    wait = 5


class GivenUp(Exception):
    """Somebody has cancelled the order, or another attempt has taken it over."""


# -- ordering ---------------------------------------------------------------------------------------------


def owner_of(subject: Subject) -> uuid.UUID:
    """This will return the user for whom a subject acts; raises Invalid for one who is none."""
    if subject.user_id is None:
        raise Invalid([field_error("", "invalid", "Only users order this.")])
    return subject.user_id


def admit(line: Line, owner: uuid.UUID) -> None:
    """This will let orders of one user wait for each other until the transaction ends; raises TooMany."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{line.name} of {owner}"])
    if line.orders.filter(owner_id=owner, state__in=OPEN).count() >= MOST_RUNNING:
        raise TooMany(f"You have {MOST_RUNNING} {line.name} under way; wait for one to end or cancel it.")


def hand_over(line: Line, job: Job) -> None:
    """This will put an order into the workers' queue, in the caller's transaction."""
    told = {f"{line.one}_id": str(job.pk)}
    job.job_id = app.configure_task(line.task, queue=line.name).defer(**told)
    job.save(update_fields=["job_id"])


def own(line: Line, viewer: Subject) -> Any:
    """This will return the orders that are the viewer's own."""
    return line.orders.filter(organization_id=viewer.organization_id, owner_id=owner_of(viewer))


# -- working ----------------------------------------------------------------------------------------------


def work_batch(line: Line) -> int:
    """This will do what is queued, one after the other, and return how many were waiting."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM procrastinate_jobs WHERE queue_name = %s AND status = 'todo'", [line.name]
        )
        waiting = int(cursor.fetchone()[0])
    connection.close()  # the thread may now be busy for minutes
    if waiting and not _leaving.is_set():
        asyncio.run(_work(line))
    return waiting


def leave() -> None:
    """This will make the work of this process stop; what it had begun is taken up by the next one."""
    _leaving.set()


def is_leaving() -> bool:
    """This will tell whether this process is to stop its work."""
    return _leaving.is_set()


async def _work(line: Line) -> None:
    kwargs = connection_arguments("jobs", "-c timezone=UTC -c lock_timeout=2000")
    del kwargs["autocommit"]
    connector = PsycopgConnector(kwargs=kwargs, min_size=1, max_size=2)
    # An application of its own: other threads go on ordering through Django's connections.
    async with app.with_connector(connector).open_async() as own_app:
        await own_app.run_worker_async(
            queues=[line.name], wait=False, listen_notify=False, install_signal_handlers=False,
            delete_jobs="always",
        )  # fmt: skip


@contextmanager
def begun(line: Line, order_id: uuid.UUID, **fresh: Any) -> Iterator[Any]:
    """This will hold an order and count its attempt, unless somebody else has it or it was cancelled: then None.

    The session is the witness: PostgreSQL frees the lock in the moment in which a killed process's socket closes.
    `fresh`: what else an attempt begins with.
    """
    with psycopg.connect(**connection_arguments(f"{line.name} job", "-c idle_session_timeout=0")) as session:
        row = session.execute(
            "SELECT pg_try_advisory_lock(%s, hashtext(%s))", [line.lock, str(order_id)]
        ).fetchone()
        started = row and row[0] and line.orders.filter(pk=order_id, state=Job.State.QUEUED).update(
            state=Job.State.RUNNING, attempt=F("attempt") + 1, started_at=timezone.now(), **fresh
        )  # fmt: skip
        yield line.orders.get(pk=order_id) if started else None


def mine(line: Line, job: Job) -> Any:
    """This will return the order as long as this attempt is the one that counts."""
    return line.orders.filter(pk=job.pk, attempt=job.attempt, state=Job.State.RUNNING)


def subject_of(job: Job) -> Subject:
    """This will return whom an order is done for, as they may today; raises Forbidden."""
    subject = credentials.of_person(job.owner_id, key_id=job.key_id, now=timezone.now())
    if subject is None or subject.organization_id != job.organization_id:
        raise Forbidden("Whoever ordered it has no access any more.")
    return subject.at(address=job.address, request_id=job.request_id)


def rescue_batch(line: Line, lost: Callable[[Any], None]) -> int:
    """This will queue again what is running without a worker, which was killed; returns how many.

    `lost` ends what the killed attempt had begun, in the transaction that queues it again; it may set `done`.
    """
    rescued = 0
    for job in line.orders.filter(state=Job.State.RUNNING).order_by("started_at")[:100]:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", [line.lock, str(job.pk)])
            if cursor.fetchone()[0]:  # else it is being worked on
                rescued += _queue_again(line, job, lost)
    return rescued


def _queue_again(line: Line, seen: Job, lost: Callable[[Any], None]) -> int:
    job = mine(line, seen).select_for_update().first()
    if job is None:
        return 0
    lost(job)
    _forget(job.job_id)
    if job.attempt >= MOST_ATTEMPTS:
        job.state, job.error = Job.State.FAILED, "Its worker ended each time that it was tried."
        job.finished_at = timezone.now()
        job.save(update_fields=["state", "error", "finished_at"])
        return 1
    job.state = Job.State.QUEUED
    job.save(update_fields=["state", "done"])
    hand_over(line, job)
    log.warning("taken up again", line=line.name, order=str(job.pk), attempt=job.attempt)
    return 1


def _forget(job_id: int | None) -> None:
    """This will take the killed worker's job out of the queue's table."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs WHERE id = %s", [job_id])
