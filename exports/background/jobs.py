"""Background jobs of users: what exports and imports share. Their rows are the queue (`job_queue`).

Exports and imports each have a `JobType`; their own modules do the work.
"""

import uuid
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection
from rest_framework import status
from rest_framework.exceptions import APIException

from exports.models import Job
from monitoring import clock
from shipments.auth import credentials
from shipments.auth.subjects import Forbidden, Subject
from shipments.parsing.query_parameters import InvalidFields, field_error

MAX_OPEN_PER_USER: Final = 2
OPEN_STATES: Final = (Job.State.QUEUED, Job.State.RUNNING)


@dataclass(frozen=True)
class JobType:
    """One kind of background job; `lock_namespace` is the first key of its advisory locks."""

    name: str
    model: type[Job]
    lock_namespace: int

    @property
    def jobs(self) -> Any:
        """All jobs of this type."""
        return self.model._default_manager  # noqa: SLF001  documented API of Django; `Job` itself has no `objects`


class TooManyJobs(APIException):
    """The caller has `MAX_OPEN_PER_USER` open jobs of this type: 429."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "too_many_jobs"
    wait = 5


class AttemptSuperseded(Exception):
    """The job was cancelled, or a newer attempt has claimed it."""


class ShuttingDown(Exception):
    """This process shuts down; the job is requeued and continues in another process."""


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


def owned_by(job_type: JobType, viewer: Subject) -> Any:
    """Return the viewer's own jobs; raises InvalidFields for a subject that is no user."""
    return job_type.jobs.filter(organization_id=viewer.organization_id, owner_id=require_user_id(viewer))


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
