"""Limits of failed logins: who is locked out, who is not, and what is written down of it."""

import uuid
from datetime import timedelta

import pytest

from shipments.auth import device_cookies
from shipments.models import AuditEntry, User
from shipments.services.accounts import logins, members
from shipments.services.accounts.logins import BadCredentials, Origin, TokenPair, TooManyFailures
from tests import factories
from tests.factories import NOW, PASSWORD

pytestmark = pytest.mark.django_db
NEW_PASSWORD = "another horse battery"


def somewhere(device_cookie: str = "") -> Origin:
    """Return an origin in a /64 of its own."""
    address = f"2001:db8:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}::1"
    return Origin(address=address, request_id="r-1", device_cookie=device_cookie)


def log_in(email: str, origin: Origin, password: str = PASSWORD) -> TokenPair:
    return logins.login(email=email, password=password, origin=origin, now=NOW)


def guess(email: str, origin: Origin, times: int = 1) -> list[str]:
    """Return what became of each wrong login: checked or refused."""
    outcomes = []
    for _ in range(times):
        try:
            log_in(email, origin, "wrong")
        except BadCredentials:
            outcomes.append("checked")
        except TooManyFailures:
            outcomes.append("refused")
    return outcomes


def guess_from_everywhere(email: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use up the limit of an account from addresses of their own, without the cost of the hashes."""
    monkeypatch.setattr("shipments.services.accounts.passwords.check", lambda *_: False)
    for _ in range(100):
        guess(email, somewhere())
    monkeypatch.undo()


@pytest.fixture
def user() -> User:
    return factories.user(factories.organization(), "dispatcher", password=PASSWORD)


def test_the_owner_logs_in_from_home_while_a_stranger_guesses_from_elsewhere(user: User) -> None:
    outcomes = guess(user.email, somewhere(), 7)

    assert outcomes == ["checked"] * 5 + ["refused"] * 2
    assert log_in(user.email, somewhere()).user == user


def test_an_address_is_its_64(user: User) -> None:
    network = f"2001:db8:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}"

    outcomes = [
        outcome
        for number in range(7)
        for outcome in guess(user.email, Origin(address=f"{network}::{number + 1:x}", request_id=""))
    ]

    assert outcomes == ["checked"] * 5 + ["refused"] * 2


def test_rotation_over_addresses_is_stopped_and_a_known_device_passes(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = device_cookies.issue(user, now=NOW)
    guess_from_everywhere(user.email, monkeypatch)

    with pytest.raises(TooManyFailures):
        log_in(user.email, somewhere())
    assert log_in(user.email, somewhere(cookie)).user == user


def test_a_known_device_has_a_budget_of_its_own(user: User) -> None:
    cookie = device_cookies.issue(user, now=NOW)

    outcomes = [outcome for _ in range(6) for outcome in guess(user.email, somewhere(cookie))]

    assert outcomes == ["checked"] * 5 + ["refused"]
    assert log_in(user.email, somewhere()).user == user


@pytest.mark.parametrize("case", ["another account", "forged", "expired", "password changed"])
def test_a_device_is_known_to_its_own_account_and_password_only(
    user: User, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued_at = NOW - timedelta(days=181) if case == "expired" else NOW
    owner = factories.user(user.membership.organization, "auditor") if case == "another account" else user
    cookie = device_cookies.issue(owner, now=issued_at)
    password = PASSWORD
    if case == "forged":
        cookie = cookie[:-1] + ("0" if cookie[-1] != "0" else "1")
    elif case == "password changed":
        admin = factories.member(user.membership.organization, "admin")
        members.set_password(by=admin, now=NOW, user_id=user.pk, password=NEW_PASSWORD)
        password = NEW_PASSWORD
    guess_from_everywhere(user.email, monkeypatch)

    with pytest.raises(TooManyFailures):
        log_in(user.email, somewhere(cookie), password)


@pytest.mark.parametrize("cookie", ["", ".", "..", "a.b.c", "a.9999999999999.c", "a.²." + "0" * 64, "x" * 5000])
def test_rubbish_is_no_device(user: User, cookie: str) -> None:
    assert device_cookies.device_of(cookie, user, now=NOW) == ""


@pytest.mark.parametrize("is_known", [True, False])
def test_attempts_during_a_lockout_are_audited_once_and_show_no_account(user: User, is_known: bool) -> None:
    email, stranger = user.email if is_known else f"{uuid.uuid4()}@example.test", somewhere()
    guess(email, stranger, 5)

    outcomes = guess(email, stranger, 4)

    entries = AuditEntry.objects.filter(action="login_failed", actor_name=email).order_by("pk")
    assert outcomes == ["refused"] * 4
    assert [entry.after for entry in entries] == [
        *[{"reason": "password"}] * 5,
        {"reason": "too many failures", "limit": "login"},
    ]
    assert entries.filter(organization_id=user.membership.organization_id).count() == (6 if is_known else 0)


def test_an_address_that_is_locked_out_is_audited_once_whatever_it_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = somewhere()
    monkeypatch.setattr("shipments.services.accounts.passwords.check", lambda *_: False)
    for _ in range(50):
        guess(f"{uuid.uuid4()}@example.test", stranger)

    for _ in range(20):
        guess(f"{uuid.uuid4()}@example.test", stranger)

    entries = AuditEntry.objects.filter(action="login_failed", address=stranger.address)
    assert entries.count() == 51
    assert entries.filter(after={"reason": "too many failures", "limit": "address"}).count() == 1
