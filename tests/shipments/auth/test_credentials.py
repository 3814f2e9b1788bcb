"""A credential restored from storage gives the current subject of its account, or none once it has ended."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.sessions.models import Session

from shipments.auth import credentials, subjects
from shipments.auth.subjects import Subject
from shipments.models import ApiKey, User
from shipments.services.accounts import api_keys, logins, members
from tests import factories
from tests.narrowing import present
from tests.shipments.auth.credentials import by_key, by_login, by_session

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def person() -> User:
    return factories.user(factories.organization(), "dispatcher")


@pytest.fixture
def admin(person: User) -> Subject:
    return factories.member(person.membership.organization, "admin")


CREDENTIAL_KINDS = [by_login, by_key, by_session]


def subject_again(subject: Subject) -> Subject | None:
    credential = credentials.credential_of(subject)
    assert credential is not None
    restored = credentials.Credential.from_json(credential.to_json())
    assert restored == credential
    return credentials.subject_of(restored, now=now())


@pytest.mark.parametrize("way", CREDENTIAL_KINDS)
def test_a_valid_credential_gives_the_same_subject(person: User, way: Callable[[User], Subject]) -> None:
    subject = way(person)

    assert subject_again(subject) == subject


@pytest.mark.parametrize("way", CREDENTIAL_KINDS)
def test_a_changed_role_shows_and_ends_no_credential(
    person: User, admin: Subject, way: Callable[[User], Subject]
) -> None:
    subject = way(person)

    members.set_role(by=admin, now=now(), user_id=person.pk, role="auditor")

    renewed = subject_again(subject)
    assert renewed is not None
    assert (renewed.role, renewed.access_version) == ("auditor", subject.access_version + 1)


@pytest.mark.parametrize("way", CREDENTIAL_KINDS)
def test_an_inactive_or_removed_account_has_no_valid_credential(
    person: User, admin: Subject, way: Callable[[User], Subject]
) -> None:
    locked, removed = way(person), way(factories.user(person.membership.organization, "dispatcher"))

    members.set_active(by=admin, now=now(), user_id=person.pk, active=False)
    members.remove(by=admin, now=now(), user_id=removed.user_id or uuid.uuid4())

    assert (subject_again(locked), subject_again(removed)) == (None, None)


def test_a_changed_password_ends_logins_and_sessions_and_leaves_keys(person: User, admin: Subject) -> None:
    login, session, key = by_login(person), by_session(person), by_key(person)

    members.set_password(by=admin, now=now(), user_id=person.pk, password="another long password")

    assert (subject_again(login), subject_again(session)) == (None, None)
    assert subject_again(key) is not None


def test_ending_one_credential_ends_no_other_and_sends_the_signal(person: User) -> None:
    one, other = by_login(person), by_login(person)
    key, session = by_key(person), by_session(person)
    version = User.objects.get(pk=person.pk).access_version

    logins.logout(by=one, now=now())
    api_keys.revoke(by=other, now=now(), key_id=key.key_id or uuid.uuid4())
    Session.objects.filter(pk=session.session_key).delete()
    logins.logout(by=session, now=now())

    assert (subject_again(one), subject_again(key), subject_again(session)) == (None, None, None)
    renewed = subject_again(other)
    assert renewed is not None
    assert (renewed.access_version, renewed.authz_version) == (version + 3, other.authz_version)


def test_credentials_expire(person: User) -> None:
    login, key, session = by_login(person), by_key(person), by_session(person)
    ApiKey.objects.filter(pk=present(key.key_id)).update(expires_at=now() + timedelta(hours=1))
    late = now() + timedelta(days=1)

    results = [credentials.subject_of(credential, now=late) for each in (login, key, session)
             if (credential := credentials.credential_of(each))]  # fmt: skip

    assert results == [None, None, None]


def test_a_session_ends_at_its_expire_date(person: User) -> None:
    subject = by_session(person)

    assert subject.expires_at == Session.objects.get(pk=subject.session_key).expire_date


def test_a_subject_without_a_credential_has_none(person: User) -> None:
    bare = subjects.subject_of_user(person)
    assert bare is not None

    assert credentials.credential_of(bare) is None
    assert credentials.credential_of(subjects.system_subject(bare.organization_id, name="relay")) is None
