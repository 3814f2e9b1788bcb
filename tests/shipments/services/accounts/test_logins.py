"""Logins: started with a password, rotated, ended."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from ipaddress import IPv6Address

import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from shipments.auth import bearers
from shipments.models import AuditEntry, RefreshFamily, User
from shipments.services.accounts import logins, members
from shipments.services.accounts.logins import BadCredentials, NoOrganization, Origin, TokenPair, TooManyFailures
from tests import factories
from tests.factories import NOW

PASSWORD = "correct horse battery"


@pytest.fixture
def origin() -> Origin:
    """Return an origin with an address of its own, so that no test uses up the attempts of another."""
    return Origin(
        address=str(IPv6Address((0x2001_0DB8 << 96) + (uuid.uuid4().int >> 96 << 64) + 1)), request_id="r-1"
    )


@pytest.fixture
def user(request: pytest.FixtureRequest) -> User:
    request.getfixturevalue("committed" if "committed" in request.fixturenames else "db")
    return factories.user(factories.organization(), "dispatcher", password=PASSWORD)


def _login(user: User, origin: Origin, password: str = PASSWORD) -> TokenPair:
    return logins.login(email=user.email, password=password, origin=origin, now=NOW)


def _neighbour(origin: Origin) -> Origin:
    """Return another address of the same /64."""
    return Origin(address=str(IPv6Address(str(origin.address)) + 1), request_id="r-2")


def _later(seconds: float = 60) -> dict[str, datetime]:
    return {"now": NOW + timedelta(seconds=seconds)}


def test_the_right_password_gives_a_pair_that_authenticates_the_member(user: User, origin: Origin) -> None:
    pair = _login(user, origin)

    subject = bearers.authenticate(pair.access, now=NOW)
    assert subject is not None
    assert (subject.user_id, subject.role) == (user.pk, "dispatcher")
    assert subject.organization_id == user.membership.organization_id


def test_the_address_is_compared_whatever_its_case(user: User, origin: Origin) -> None:
    user.email = f"  {user.email.upper()} "

    assert _login(user, origin).user.pk == user.pk


def test_the_subject_of_a_token_is_one_query(
    user: User, origin: Origin, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    pair = _login(user, origin)

    with django_assert_num_queries(1):
        bearers.authenticate(pair.access, now=NOW)


def test_wrong_unknown_and_inactive_look_alike_and_are_audited(user: User, origin: Origin) -> None:
    inactive = factories.user(factories.organization(), "auditor", password=PASSWORD)
    inactive.is_active = False
    inactive.save(update_fields=["is_active"])
    before = set(AuditEntry.objects.values_list("pk", flat=True))

    for email, password in ((user.email, "wrong"), ("nobody@example.test", PASSWORD), (inactive.email, PASSWORD)):
        with pytest.raises(BadCredentials):
            logins.login(email=email, password=password, origin=origin, now=NOW)

    entries = AuditEntry.objects.exclude(pk__in=before)
    assert {(entry.action, entry.outcome, entry.actor_name) for entry in entries} == {
        ("login_failed", "refused", user.email),
        ("login_failed", "refused", "nobody@example.test"),
        ("login_failed", "refused", inactive.email),
    }


def test_a_login_is_audited_with_its_address(user: User, origin: Origin) -> None:
    _login(user, origin)

    entry = AuditEntry.objects.get(action="login", entity_id=str(user.pk))
    assert (entry.actor_id, entry.address, entry.request_id) == (user.pk, origin.address, "r-1")


def test_after_five_failures_the_right_password_is_refused(user: User, origin: Origin) -> None:
    for _ in range(5):
        with pytest.raises(BadCredentials):
            _login(user, origin, "wrong")

    with pytest.raises(TooManyFailures) as refusal:
        _login(user, origin)
    assert refusal.value.retry_after == 900


def test_a_refresh_gives_the_next_pair(user: User, origin: Origin) -> None:
    pair = _login(user, origin)

    following = logins.refresh(token=pair.refresh, origin=origin, **_later())

    assert bearers.authenticate(following.access, now=NOW) is not None
    assert RefreshFamily.objects.get(user=user).generation == 2


@pytest.mark.parametrize("seconds", [0, 0.02, 0.1, 9.5])
def test_two_tabs_that_refresh_at_once_get_the_same_pair(user: User, origin: Origin, seconds: float) -> None:
    pair = _login(user, origin)
    following = logins.refresh(token=pair.refresh, origin=origin, **_later(60))

    again = logins.refresh(token=pair.refresh, origin=_neighbour(origin), **_later(60 + seconds))

    assert again == following
    assert RefreshFamily.objects.get(user=user).generation == 2
    logins.refresh(token=again.refresh, origin=origin, **_later(120))


def test_the_pair_given_again_has_the_role_of_now(user: User, origin: Origin) -> None:
    pair = _login(user, origin)
    logins.refresh(token=pair.refresh, origin=origin, **_later(60))
    admin = factories.member(user.membership.organization, "admin")
    members.set_role(by=admin, now=NOW, user_id=user.pk, role="auditor")

    again = logins.refresh(token=pair.refresh, origin=origin, **_later(61))

    subject = bearers.authenticate(again.access, now=NOW)
    assert subject is not None
    assert subject.role == "auditor"


@pytest.mark.parametrize("case", ["after ten seconds", "from elsewhere", "an older one", "from nowhere"])
def test_a_refresh_token_used_again_ends_the_whole_login(user: User, origin: Origin, case: str) -> None:
    pair = _login(user, origin)
    following = logins.refresh(token=pair.refresh, origin=origin, **_later(60))
    if case == "an older one":
        following = logins.refresh(token=following.refresh, origin=origin, **_later(61))
    address = {"from elsewhere": "198.51.100.9", "from nowhere": None}.get(case, origin.address)
    again = _later(71) if case == "after ten seconds" else _later(62)

    with pytest.raises(BadCredentials):
        logins.refresh(token=pair.refresh, origin=Origin(address=address, request_id="r-2"), **again)

    with pytest.raises(BadCredentials):
        logins.refresh(token=following.refresh, origin=origin, **_later(72))
    assert bearers.authenticate(following.access, now=NOW) is None
    entry = AuditEntry.objects.get(action="login_failed", entity_id=str(user.pk))
    assert entry.after == {"reason": "refresh token reused"}


def test_two_unknown_addresses_are_not_the_same(user: User) -> None:
    unknown = Origin(address=None, request_id="r-1")
    pair = logins.refresh(token=_login(user, unknown).refresh, origin=unknown, **_later(60))
    following = logins.refresh(token=pair.refresh, origin=unknown, **_later(120))

    with pytest.raises(BadCredentials):
        logins.refresh(token=pair.refresh, origin=unknown, **_later(121))

    assert bearers.authenticate(following.access, now=NOW) is None


def test_a_request_from_elsewhere_concurrent_with_the_winner_is_refused_without_ending_the_login(
    user: User, origin: Origin
) -> None:
    pair = _login(user, origin)
    following = logins.refresh(token=pair.refresh, origin=origin, **_later(60))

    with pytest.raises(BadCredentials):
        logins.refresh(token=pair.refresh, origin=Origin("198.51.100.9", "r-2"), **_later(60))

    assert bearers.authenticate(following.access, now=NOW) is not None


def test_parallel_refreshes_get_one_pair(committed: None, user: User, origin: Origin) -> None:
    pair = _login(user, origin)

    def rotate(_: int) -> TokenPair:
        try:
            return logins.refresh(token=pair.refresh, origin=origin, now=NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        pairs = list(pool.map(rotate, range(8)))

    assert len({each.refresh for each in pairs}) == len({each.access for each in pairs}) == 1
    assert RefreshFamily.objects.get(user=user).generation == 2


def test_an_access_token_refreshes_nothing(user: User, origin: Origin) -> None:
    pair = _login(user, origin)

    with pytest.raises(BadCredentials):
        logins.refresh(token=pair.access, origin=origin, now=NOW)


def test_logout_ends_access_and_refresh(user: User, origin: Origin) -> None:
    pair = _login(user, origin)
    subject = bearers.authenticate(pair.access, now=NOW)
    assert subject is not None

    logins.logout(by=subject, now=NOW)

    assert bearers.authenticate(pair.access, now=NOW) is None
    with pytest.raises(BadCredentials):
        logins.refresh(token=pair.refresh, origin=origin, **_later())


def test_a_superuser_without_organisation_may_use_pages_but_not_the_api(origin: Origin, db: None) -> None:
    root = User.objects.create_superuser(f"{uuid.uuid4()}@example.test", PASSWORD)

    assert logins.authenticate(email=root.email, password=PASSWORD, origin=origin, now=NOW) == root
    for _ in range(6):  # a right password is no guess
        with pytest.raises(NoOrganization):
            _login(root, origin)

    entries = AuditEntry.objects.filter(action="login_failed", entity_id=str(root.pk))
    assert [entry.after for entry in entries] == [{"reason": "no organisation"}] * 6


@pytest.mark.parametrize("case", ["wrong", "inactive", "removed"])
def test_the_audit_says_what_was_wrong(user: User, origin: Origin, case: str) -> None:
    if case == "inactive":
        User.objects.filter(pk=user.pk).update(is_active=False)
    elif case == "removed":
        user.membership.delete()

    with pytest.raises(NoOrganization if case == "removed" else BadCredentials):
        _login(user, origin, "wrong" if case == "wrong" else PASSWORD)

    entry = AuditEntry.objects.get(action="login_failed", entity_id=str(user.pk))
    reasons = {"wrong": "password", "inactive": "inactive", "removed": "no organisation"}
    assert (entry.after, entry.outcome) == ({"reason": reasons[case]}, "refused")


def test_a_wrong_password_of_an_account_without_an_organisation_shows_nothing(user: User, origin: Origin) -> None:
    user.membership.delete()

    with pytest.raises(BadCredentials):
        _login(user, origin, "wrong")


def test_a_new_role_takes_effect_at_once_and_revokes_the_token(user: User, origin: Origin) -> None:
    pair = _login(user, origin)
    admin = factories.member(user.membership.organization, "admin")

    members.set_role(by=admin, now=NOW, user_id=user.pk, role="auditor")

    assert bearers.authenticate(pair.access, now=NOW) is None
    following = logins.refresh(token=pair.refresh, origin=origin, **_later())
    subject = bearers.authenticate(following.access, now=NOW)
    assert subject is not None
    assert subject.role == "auditor"


@pytest.mark.parametrize("change", ["deactivate", "remove", "password"])
def test_withdrawing_an_account_ends_its_logins(user: User, origin: Origin, change: str) -> None:
    pair = _login(user, origin)
    admin = factories.member(user.membership.organization, "admin")

    if change == "deactivate":
        members.set_active(by=admin, now=NOW, user_id=user.pk, active=False)
    elif change == "remove":
        members.remove(by=admin, now=NOW, user_id=user.pk)
    else:
        members.set_password(by=admin, now=NOW, user_id=user.pk, password="another horse battery")

    assert bearers.authenticate(pair.access, now=NOW) is None
    with pytest.raises(BadCredentials):
        logins.refresh(token=pair.refresh, origin=origin, **_later())
