"""Passwords are hashed without a transaction or a connection, and old hashes are replaced."""

import uuid
from collections.abc import Callable
from typing import TypeVar

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.db import connection, transaction

from shipments.auth import password_hashers
from shipments.auth.password_hashers import HashGate, HashingBusy
from shipments.models import User
from shipments.services.accounts import logins, members, passwords
from shipments.services.accounts.logins import BadCredentials, Origin
from shipments.services.validation import InvalidArgument
from tests import factories
from tests.factories import NOW, PASSWORD

Result = TypeVar("Result")


class RecordingGate(HashGate):
    """Notes of each hash whether the caller had a connection, and calls `meanwhile` while the first one waits."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__(slots=2, queue=20, wait_seconds=20)
        self.had_connection: list[bool] = []
        self._meanwhile = meanwhile

    def run(self, hash_password: Callable[[], Result]) -> Result:
        self.had_connection.append(connection.connection is not None)
        if len(self.had_connection) == 1:
            self._meanwhile()
        return super().run(hash_password)


def record(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object] = lambda: None) -> RecordingGate:
    gate = RecordingGate(meanwhile)
    monkeypatch.setattr(password_hashers, "gate", gate)
    return gate


def change_password_meanwhile(user: User, monkeypatch: pytest.MonkeyPatch) -> passwords.HashedPassword:
    """Have an administrator change the user's password while the next hash is made, and return the new one."""
    admin = factories.member(user.membership.organization, "admin")
    changed = passwords.hash_new("another horse battery", user)
    record(
        monkeypatch,
        meanwhile=lambda: members.set_password(by=admin, now=NOW, user_id=user.pk, password=changed),
    )
    return changed


def older_hash(password: str = PASSWORD) -> str:
    return Argon2PasswordHasher().encode(password, "saltsaltsaltsaltsaltsa")


def origin() -> Origin:
    address = f"2001:db8:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}::1"
    return Origin(address=address, request_id="r-1")


def login(email: str, password: str = PASSWORD) -> None:
    logins.login(email=email, password=password, origin=origin(), now=NOW)


@pytest.fixture
def user(request: pytest.FixtureRequest) -> User:
    request.getfixturevalue("committed" if "committed" in request.fixturenames else "db")
    return factories.user(factories.organization(), "dispatcher", password=PASSWORD)


def test_no_hash_is_made_with_a_connection(committed: None, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = factories.member(user.membership.organization, "admin")
    gate = record(monkeypatch)

    login(user.email)
    for email, password in ((user.email, "wrong"), (f"{uuid.uuid4()}@example.test", PASSWORD)):
        with pytest.raises(BadCredentials):
            login(email, password)
    email = f"{uuid.uuid4()}@example.test"
    members.create(by=admin, now=NOW, email=email, role="auditor", password="another horse battery")
    members.set_password(by=admin, now=NOW, user_id=user.pk, password="another horse battery")

    assert gate.had_connection == [False] * 5


def test_a_hash_in_a_transaction_is_a_bug(user: User) -> None:
    admin = factories.member(user.membership.organization, "admin")

    for hash_in_a_transaction in (
        lambda: login(user.email),
        lambda: passwords.hash_new("another horse battery", user),
        lambda: members.set_password(by=admin, now=NOW, user_id=user.pk, password="another horse battery"),
    ):
        with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
            hash_in_a_transaction()


@pytest.mark.parametrize("account", ["unknown", "without a password", "wrong password"])
def test_a_failed_login_costs_one_hash_whatever_failed(
    user: User, monkeypatch: pytest.MonkeyPatch, account: str
) -> None:
    if account == "without a password":
        user.set_unusable_password()
        user.save(update_fields=["password"])
    gate = record(monkeypatch)

    with pytest.raises(BadCredentials):
        login("nobody@example.test" if account == "unknown" else user.email, "wrong")

    assert len(gate.had_connection) == 1


def test_a_login_replaces_a_hash_of_older_parameters_once(user: User) -> None:
    User.objects.filter(pk=user.pk).update(password=older_hash())

    login(user.email)
    replaced = User.objects.get(pk=user.pk).password
    login(user.email)

    assert replaced.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    assert User.objects.get(pk=user.pk).password == replaced


def test_a_wrong_password_replaces_nothing(user: User) -> None:
    older = older_hash()
    User.objects.filter(pk=user.pk).update(password=older)

    with pytest.raises(BadCredentials):
        login(user.email, "wrong")

    assert User.objects.get(pk=user.pk).password == older


def test_two_logins_may_replace_the_same_older_hash(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    User.objects.filter(pk=user.pk).update(password=older_hash())
    record(monkeypatch, meanwhile=lambda: login(user.email))

    login(user.email)

    assert user.logins.count() == 2


def test_a_login_with_a_password_that_is_changed_meanwhile_is_refused(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_password_meanwhile(user, monkeypatch)

    with pytest.raises(BadCredentials):
        login(user.email)

    assert not user.logins.exists()


def test_an_older_hash_does_not_come_back_over_a_changed_password(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    User.objects.filter(pk=user.pk).update(password=older_hash())
    changed = change_password_meanwhile(user, monkeypatch)

    with pytest.raises(BadCredentials):
        login(user.email)

    assert User.objects.get(pk=user.pk).password == changed.encoded


def test_a_busy_gate_counts_no_failure(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    here = origin()
    monkeypatch.setattr(password_hashers, "gate", HashGate(slots=0, queue=0, wait_seconds=0))

    for _ in range(6):
        with pytest.raises(HashingBusy):
            logins.login(email=user.email, password="wrong", origin=here, now=NOW)
    monkeypatch.undo()

    logins.login(email=user.email, password=PASSWORD, origin=here, now=NOW)


def test_a_weak_password_is_refused_before_it_is_hashed(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = record(monkeypatch)

    with pytest.raises(InvalidArgument):
        passwords.hash_new("password", user)

    assert gate.had_connection == []
