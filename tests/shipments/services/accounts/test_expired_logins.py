"""What logins leave behind is deleted once it has expired, and nothing else is."""

import threading
import uuid
from datetime import datetime, timedelta

import pytest
from django.contrib.sessions.models import Session
from django.db import connection, transaction

from freight import relay
from ratelimits.models import FailedAttempts
from shipments.models import RefreshFamily, SocketTicket, User
from shipments.services.accounts import expired_logins
from tests import factories
from tests.factories import NOW

# Before any row of another test.
LONG_AGO = datetime(2001, 1, 1, tzinfo=NOW.tzinfo)
SECONDS = 20


def create_rows(user: User, expires_at: datetime) -> dict[type, object]:
    """Store one row of each kind that ends at a time, and return their keys."""
    session = Session.objects.create(session_key=uuid.uuid4().hex, session_data="", expire_date=expires_at)
    login = RefreshFamily.objects.create(
        user=user, created_at=LONG_AGO, refreshed_at=LONG_AGO, expires_at=expires_at
    )
    ticket = SocketTicket.objects.create(digest=uuid.uuid4().bytes, credential={}, expires_at=expires_at)
    attempts = FailedAttempts.objects.create(
        policy="auth", key=f"account:{uuid.uuid4()}", ends_at=expires_at, in_flight_until=expires_at
    )
    return {type(row): row.pk for row in (session, login, ticket, attempts)}


def left(keys: dict[type, object]) -> list[str]:
    return [kind.__name__ for kind, key in keys.items() if kind.objects.filter(pk=key).exists()]  # type: ignore[attr-defined]  # each is a model


@pytest.fixture
def user(request: pytest.FixtureRequest) -> User:
    request.getfixturevalue("committed" if "committed" in request.fixturenames else "db")
    return factories.user(factories.organization(), "dispatcher")


def test_what_has_expired_goes_and_what_has_not_stays(user: User) -> None:
    expired = create_rows(user, LONG_AGO)
    current = create_rows(user, LONG_AGO + timedelta(seconds=1))

    removed = expired_logins.purge_batch(LONG_AGO)

    assert removed == 4
    assert (left(expired), len(left(current))) == ([], 4)
    assert expired_logins.purge_batch(LONG_AGO) == 0


def test_a_batch_is_small(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expired_logins, "BATCH", 2)
    for _ in range(3):
        create_rows(user, LONG_AGO)

    removed = [expired_logins.purge_batch(LONG_AGO) for _ in range(3)]

    assert removed == [2 * 3 + 3, 3, 0]  # failed attempts have batches of their own


def test_a_login_that_is_being_refreshed_is_skipped(committed: None, user: User) -> None:
    expired = create_rows(user, LONG_AGO)
    locked, purged = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            RefreshFamily.objects.select_for_update().get(pk=str(expired[RefreshFamily]))
            locked.set()
            assert purged.wait(SECONDS)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert locked.wait(SECONDS)
    expired_logins.purge_batch(LONG_AGO)
    skipped = left(expired)
    purged.set()
    holder.join(SECONDS)
    expired_logins.purge_batch(LONG_AGO)

    assert skipped == ["RefreshFamily"]
    assert left(expired) == []


def test_the_relay_does_it(user: User) -> None:
    expired = create_rows(user, LONG_AGO)
    [worker] = [each for each in relay.WORKERS if each.name == "expired logins"]

    while worker.run_batch():
        pass

    assert left(expired) == []
