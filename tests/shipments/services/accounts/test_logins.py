"""Logins: begun by a password, rotated, ended."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import IPv6Address

import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from shipments.auth import bearers
from shipments.models import AuditEntry, RefreshFamily, User
from shipments.services.accounts import logins, members
from shipments.services.accounts.logins import BadCredentials, Origin, TokenPair, TooManyFailures
from tests import factories
from tests.factories import NOW

PASSWORD = "correct horse battery"


@pytest.fixture
def origin() -> Origin:
    """An address of its own, so that no test uses up another's chances."""
    return Origin(
        address=str(IPv6Address((0x2001_0DB8 << 96) + (uuid.uuid4().int >> 96 << 64) + 1)), request_id="r-1"
    )


@pytest.fixture
def person(request: pytest.FixtureRequest) -> User:
    request.getfixturevalue("committed" if "committed" in request.fixturenames else "db")
    return factories.user(factories.organization(), "dispatcher", password=PASSWORD)


def _login(person: User, origin: Origin, password: str = PASSWORD) -> TokenPair:
    return logins.login(email=person.email, password=password, origin=origin, now=NOW)


def _later(seconds: int = 60) -> dict[str, object]:
    return {"now": NOW + timedelta(seconds=seconds)}


def test_the_right_password_gives_a_pair_that_stands_for_the_member(person: User, origin: Origin) -> None:
    pair = _login(person, origin)

    subject = bearers.authenticate(pair.access, now=NOW)
    assert subject is not None
    assert (subject.user_id, subject.role) == (person.pk, "dispatcher")
    assert subject.organization_id == person.membership.organization_id


def test_the_address_is_compared_whatever_its_case(person: User, origin: Origin) -> None:
    person.email = f"  {person.email.upper()} "

    assert _login(person, origin).user.pk == person.pk


def test_the_subject_of_a_token_is_one_query(
    person: User, origin: Origin, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    pair = _login(person, origin)

    with django_assert_num_queries(1):
        bearers.authenticate(pair.access, now=NOW)


def test_wrong_unknown_and_inactive_look_alike_and_are_audited(person: User, origin: Origin) -> None:
    gone = factories.user(factories.organization(), "auditor", password=PASSWORD)
    gone.is_active = False
    gone.save(update_fields=["is_active"])
    before = set(AuditEntry.objects.values_list("pk", flat=True))

    for email, password in ((person.email, "wrong"), ("nobody@example.test", PASSWORD), (gone.email, PASSWORD)):
        with pytest.raises(BadCredentials):
            logins.login(email=email, password=password, origin=origin, now=NOW)

    entries = AuditEntry.objects.exclude(pk__in=before)
    assert {(entry.action, entry.outcome, entry.actor_name) for entry in entries} == {
        ("login_failed", "refused", person.email),
        ("login_failed", "refused", "nobody@example.test"),
        ("login_failed", "refused", gone.email),
    }


def test_a_login_is_audited_with_its_address(person: User, origin: Origin) -> None:
    _login(person, origin)

    entry = AuditEntry.objects.get(action="login", entity_id=str(person.pk))
    assert (entry.actor_id, entry.address, entry.request_id) == (person.pk, origin.address, "r-1")


def test_after_five_failures_the_right_password_is_refused(person: User, origin: Origin) -> None:
    for _ in range(5):
        with pytest.raises(BadCredentials):
            _login(person, origin, "wrong")

    with pytest.raises(TooManyFailures) as refused:
        _login(person, origin)
    assert refused.value.retry_after == 900


def test_a_refresh_gives_the_next_pair(person: User, origin: Origin) -> None:
    pair = _login(person, origin)

    following = logins.refresh(token=pair.refresh, origin=origin, **_later())

    assert bearers.authenticate(following.access, now=NOW) is not None
    assert RefreshFamily.objects.get(user=person).generation == 2


def test_a_refresh_token_used_again_ends_the_whole_login(person: User, origin: Origin) -> None:
    pair = _login(person, origin)
    following = logins.refresh(token=pair.refresh, origin=origin, **_later(60))

    with pytest.raises(BadCredentials):
        logins.refresh(token=pair.refresh, origin=origin, **_later(61))

    with pytest.raises(BadCredentials):
        logins.refresh(token=following.refresh, origin=origin, **_later(62))
    assert bearers.authenticate(following.access, now=NOW) is None
    entry = AuditEntry.objects.get(action="login_failed", entity_id=str(person.pk))
    assert entry.after == {"reason": "refresh token reused"}


def test_a_request_that_ran_beside_the_winner_is_refused_without_ending_the_login(
    person: User, origin: Origin
) -> None:
    pair = _login(person, origin)
    following = logins.refresh(token=pair.refresh, origin=origin, **_later(60))

    with pytest.raises(BadCredentials):
        logins.refresh(token=pair.refresh, origin=origin, **_later(60))

    assert bearers.authenticate(following.access, now=NOW) is not None


def test_of_parallel_refreshes_exactly_one_wins(committed: None, person: User, origin: Origin) -> None:
    pair = _login(person, origin)

    def rotate(_: int) -> bool:
        try:
            logins.refresh(token=pair.refresh, origin=origin, now=NOW)
        except BadCredentials:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(rotate, range(8)))

    assert sum(won) == 1


def test_an_access_token_refreshes_nothing(person: User, origin: Origin) -> None:
    pair = _login(person, origin)

    with pytest.raises(BadCredentials):
        logins.refresh(token=pair.access, origin=origin, now=NOW)


def test_leaving_ends_access_and_refresh(person: User, origin: Origin) -> None:
    pair = _login(person, origin)
    subject = bearers.authenticate(pair.access, now=NOW)
    assert subject is not None

    logins.logout(by=subject, now=NOW)

    assert bearers.authenticate(pair.access, now=NOW) is None
    with pytest.raises(BadCredentials):
        logins.refresh(token=pair.refresh, origin=origin, **_later())


def test_a_superuser_of_no_organisation_enters_pages_but_not_the_api(origin: Origin, db: None) -> None:
    root = User.objects.create_superuser(f"{uuid.uuid4()}@example.test", PASSWORD)

    assert logins.authenticate(email=root.email, password=PASSWORD, origin=origin, now=NOW) == root
    with pytest.raises(BadCredentials):
        _login(root, origin)


def test_a_new_role_counts_at_once_and_outdates_the_token(person: User, origin: Origin) -> None:
    pair = _login(person, origin)
    admin = factories.member(person.membership.organization, "admin")

    members.set_role(by=admin, now=NOW, user_id=person.pk, role="auditor")

    assert bearers.authenticate(pair.access, now=NOW) is None
    following = logins.refresh(token=pair.refresh, origin=origin, **_later())
    subject = bearers.authenticate(following.access, now=NOW)
    assert subject is not None
    assert subject.role == "auditor"


@pytest.mark.parametrize("change", ["deactivate", "remove", "password"])
def test_what_takes_an_account_away_ends_its_logins(person: User, origin: Origin, change: str) -> None:
    pair = _login(person, origin)
    admin = factories.member(person.membership.organization, "admin")

    if change == "deactivate":
        members.set_active(by=admin, now=NOW, user_id=person.pk, active=False)
    elif change == "remove":
        members.remove(by=admin, now=NOW, user_id=person.pk)
    else:
        members.set_password(by=admin, now=NOW, user_id=person.pk, password="another horse battery")

    assert bearers.authenticate(pair.access, now=NOW) is None
    with pytest.raises(BadCredentials):
        logins.refresh(token=pair.refresh, origin=origin, **_later())
