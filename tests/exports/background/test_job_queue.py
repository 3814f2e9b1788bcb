"""Whose turn it is, and what becomes of jobs that a lock, an outage or a restart interrupts: none is forgotten."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from exports.background import export_jobs, export_worker, job_queue
from exports.background.jobs import ShuttingDown
from exports.concurrency_limit import ServerBusy
from exports.models import Export, Run
from shipments.auth.subjects import Subject
from shipments.models import Organization
from shipments.selectors.async_pool import connection_arguments
from tests import factories
from tests.drills.harness.waiting import wait_until
from tests.exports.export_job_client import create_export_job

pytestmark = pytest.mark.usefixtures("committed", "export_dir")
State = Export.State


def claim_next(run: Any = lambda job: None) -> Export | None:
    """Claim the next export, run it, and leave it in the state "running"; None where no one's turn it is."""
    claimed: list[Export] = []

    def note_and_run(job: Export) -> None:
        claimed.append(job)
        run(job)

    job_queue.work_batch(export_jobs.JOB_TYPE, note_and_run)
    return claimed[0] if claimed else None


def end(export: Export) -> None:
    Export.objects.filter(pk=export.pk).update(state=State.SUCCEEDED)


@contextmanager
def locked(statement: str) -> Iterator[None]:
    """Hold a lock while the block runs."""
    with psycopg.connect(**connection_arguments("test lock", "")) as other, other.transaction():
        other.execute(statement.encode())
        yield


def make_ready(export: Export) -> None:
    """Let the pause after an interruption be over."""
    Export.objects.filter(pk=export.pk).update(retry_at=timezone.now() - timedelta(seconds=1))


def requeue() -> None:
    """Requeue the job whose worker is gone; PostgreSQL frees its lock a moment after the session is closed."""
    wait_until(export_worker.requeue_stalled_batch, seconds=10)


def dispatchers(count: int, organization: Organization | None = None) -> list[Subject]:
    organization = organization or factories.organization()
    return [factories.member(organization, "dispatcher") for _ in range(count)]


def test_organizations_take_turns_and_so_do_their_users() -> None:
    [first, second], [other] = dispatchers(2), dispatchers(1)
    orders = {
        create_export_job(by).pk: name
        for name, by in (("first", first), ("first", first), ("second", second), ("other", other), ("other", other))
    }

    served = []
    while export := claim_next():
        served.append(orders[export.pk])
        end(export)

    assert served == ["first", "other", "second", "other", "first"]


def test_an_organization_holds_its_share_of_the_workers_and_no_more() -> None:
    for by in dispatchers(10):
        create_export_job(by), create_export_job(by)
    greedy = [claim_next() for _ in range(3)]
    [other] = dispatchers(1)
    late = create_export_job(other)

    served = claim_next()

    assert [each is not None for each in greedy] == [True, True, False]
    assert job_queue.MAX_RUNNING_PER_ORGANIZATION == 2
    assert (served and served.pk, claim_next()) == (late.pk, None)


def test_concurrent_workers_claim_each_job_once_and_keep_to_the_share() -> None:
    organizations = [factories.organization() for _ in range(3)]
    for organization in organizations:
        for by in dispatchers(2, organization):
            create_export_job(by), create_export_job(by)
    claimed: list[Export] = []
    barrier = threading.Barrier(6)

    def work() -> None:
        barrier.wait(10)
        try:
            for _ in range(20):
                job_queue.work_batch(export_jobs.JOB_TYPE, claimed.append)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({each.pk for each in claimed}) == len(claimed)
    assert Counter(each.organization_id for each in claimed) == {each.pk: 2 for each in organizations}


def test_a_locked_row_holds_up_nobody_else(dispatcher: Subject) -> None:
    locked_one, [other] = create_export_job(dispatcher), dispatchers(1)
    free_one = create_export_job(other)

    with locked(f"SELECT FROM exports_export WHERE id = '{locked_one.pk}' FOR UPDATE"):
        claimed = claim_next()

    assert claimed is not None
    assert claimed.pk == free_one.pk


def test_a_locked_table_at_the_claim_leaves_the_job_queued(dispatcher: Subject) -> None:
    export = create_export_job(dispatcher)

    with locked("LOCK TABLE exports_export IN SHARE MODE"), pytest.raises(OperationalError, match="lock timeout"):
        export_worker.work_batch()
    connection.close()
    export_worker.work_batch()

    export.refresh_from_db()
    assert (export.state, export.attempt) == ("succeeded", 1)


@pytest.mark.parametrize(
    "error", [OperationalError("lock timeout"), psycopg.OperationalError("gone"), ServerBusy(), ShuttingDown()]
)
def test_an_interrupted_attempt_is_repeated_and_not_counted(dispatcher: Subject, error: Exception) -> None:
    export = create_export_job(dispatcher)

    def interrupt(_: Export) -> None:
        raise error

    for number in range(1, job_queue.MAX_ATTEMPTS + 3):
        claim_next(interrupt)
        requeue()
        export.refresh_from_db()
        assert (export.state, export.attempt, export.interruptions) == ("queued", number, number)
        make_ready(export)
    export_worker.work_batch()

    export.refresh_from_db()
    assert export.state == "succeeded"


def test_the_pauses_between_interrupted_attempts_grow(dispatcher: Subject) -> None:
    export = create_export_job(dispatcher)

    def interrupt(_: Export) -> None:
        raise OperationalError

    pauses = []
    for _ in range(8):
        began = timezone.now()
        claim_next(interrupt)
        requeue()
        export.refresh_from_db()
        assert export.retry_at is not None
        pauses.append((export.retry_at - began).total_seconds())
        assert claim_next() is None  # not before the pause is over
        make_ready(export)

    assert [round(pause / 2**number) for number, pause in enumerate(pauses[1:7], 1)] == [1] * 6
    assert 60 < pauses[7] < 70


def test_a_job_that_is_always_interrupted_ends(dispatcher: Subject) -> None:
    export = create_export_job(dispatcher)
    Export.objects.filter(pk=export.pk).update(
        state=State.RUNNING, attempt=job_queue.MAX_INTERRUPTIONS, interruptions=job_queue.MAX_INTERRUPTIONS
    )

    export_worker.requeue_stalled_batch()

    export.refresh_from_db()
    assert (export.state, "order it again" in export.error) == ("failed", True)


def test_an_interruption_that_cannot_be_stored_is_stored_later(dispatcher: Subject) -> None:
    export = create_export_job(dispatcher)
    is_locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        with locked("LOCK TABLE exports_export IN SHARE MODE"):
            is_locked.set()
            release.wait(30)

    def interrupt(_: Export) -> None:
        thread.start()
        is_locked.wait(10)
        threading.Timer(2.5, release.set).start()  # longer than lock_timeout
        raise OperationalError("lock timeout")

    thread = threading.Thread(target=hold)
    claim_next(interrupt)
    thread.join()

    export.refresh_from_db()
    assert (export.state, export.attempt, export.interruptions) == ("running", 1, 1)


def test_the_end_of_an_export_and_of_its_run_are_one(
    dispatcher: Subject, organization: Organization, export_dir: Any
) -> None:
    """A lock on the runs when an export ends: it is repeated, and never succeeds with a run that failed."""
    factories.booked_shipment(dispatcher)
    export = create_export_job(dispatcher)
    original, lock = export_worker._finish, locked("LOCK TABLE exports_run IN SHARE MODE")

    def finish(*arguments: Any) -> None:
        with lock:
            original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_worker, "_finish", finish)
        export_worker.work_batch()
    requeue()
    make_ready(export)
    export_worker.work_batch()

    export.refresh_from_db()
    runs = Run.objects.filter(export_id=export.pk).order_by("started_at")
    assert (export.state, export.attempt, [run.outcome for run in runs]) == ("succeeded", 2, ["failed", "done"])
