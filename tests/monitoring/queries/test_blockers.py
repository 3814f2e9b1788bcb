"""Lock waits: who waits for whom, without values; and a blocker that is ended."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

import psycopg
import pytest
from django.core.management import CommandError, call_command

from monitoring.queries import blockers
from shipments.models import Organization
from tests import factories
from tests.drills.harness.environment import database_url
from tests.drills.harness.waiting import comes_true

pytestmark = pytest.mark.usefixtures("committed")
_LOCK = "UPDATE shipments_organization SET name = 'geheim' WHERE id = %s"


@contextmanager
def _lock_wait(organization: Organization) -> Iterator[tuple[int, int]]:
    """Let one session wait for the row that another holds; yield the process ids of the two."""
    with (
        psycopg.connect(database_url(), application_name="holder") as holder,
        psycopg.connect(database_url(), application_name="waiter") as waiter,
    ):
        holder.execute(_LOCK, [organization.pk])

        def wait() -> None:
            try:
                waiter.execute(_LOCK, [organization.pk])
            finally:
                waiter.rollback()

        thread = threading.Thread(target=wait)
        thread.start()
        try:
            assert comes_true(20, lambda: len(blockers.lock_waits()) == 1)
            yield waiter.info.backend_pid, holder.info.backend_pid
        finally:
            if not holder.broken and not holder.closed:
                try:
                    holder.rollback()
                except psycopg.OperationalError:
                    holder.close()  # it was ended
            thread.join(20)


def test_it_says_who_waits_for_whom_with_what_since_when() -> None:
    out = StringIO()
    with _lock_wait(factories.organization()) as (waiter, holder):
        call_command("blockers", stdout=out)

        [wait] = blockers.lock_waits()

    first, waits, holds = out.getvalue().splitlines()
    assert first.startswith(f"{waiter} (waiter) waits for {holder} (holder) since 20")
    assert waits == "  waits: UPDATE shipments_organization SET name = ? WHERE id = $1"
    assert holds.startswith(
        "  holds: UPDATE shipments_organization SET name = ? WHERE id = $1 [idle in transaction"
    )
    assert 0 <= wait.seconds <= wait.open_seconds < 60


def test_a_blocker_can_be_ended_and_nobody_else() -> None:
    out = StringIO()
    with _lock_wait(factories.organization()) as (waiter, holder):
        with pytest.raises(CommandError, match=f"The session {waiter} was not ended: nobody waits for it now"):
            call_command("blockers", end=waiter)

        call_command("blockers", end=holder, stdout=out)

        assert comes_true(20, lambda: not blockers.lock_waits())
    assert out.getvalue() == f"Ended the session {holder}; its transaction is rolled back.\n"


def test_nobody_waits() -> None:
    out = StringIO()

    call_command("blockers", stdout=out)

    assert out.getvalue() == "Nobody waits for a lock.\n"
