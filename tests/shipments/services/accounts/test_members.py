"""Members: managed by administrators, each change announced after COMMIT."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks

from shipments import signals
from shipments.auth.subjects import Forbidden, Subject
from shipments.models import AuditEntry, Membership, User
from shipments.services.accounts import api_keys, members
from shipments.services.validation import InvalidArgument
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> Subject:
    return factories.member(factories.organization(), "admin")


@pytest.fixture
def notified_users() -> Iterator[list[uuid.UUID]]:
    """Collect the users of whom `access_changed` was sent."""
    user_ids: list[uuid.UUID] = []

    def listen(*, user_id: uuid.UUID, **_: Any) -> None:
        user_ids.append(user_id)

    signals.access_changed.connect(listen, weak=False)
    yield user_ids
    signals.access_changed.disconnect(listen)


def _colleague(admin: Subject, role: str = "dispatcher") -> User:
    return members.create(by=admin, now=NOW, email=f"{uuid.uuid4()}@example.test", role=role)


def test_a_new_account_is_a_member_of_the_administrators_organisation(admin: Subject) -> None:
    user = members.create(by=admin, now=NOW, email=" New.One@Example.Test ", role="auditor", name="New One")

    assert user.email == "new.one@example.test"
    assert user.membership.organization_id == admin.organization_id
    assert not user.has_usable_password()


def test_an_email_address_is_unique(admin: Subject) -> None:
    user = _colleague(admin)

    with pytest.raises(members.DuplicateAccount):
        members.create(by=admin, now=NOW, email=user.email.upper(), role="auditor")


@pytest.mark.parametrize("role", ["dispatcher", "driver", "customer", "auditor"])
def test_only_administrators_manage_accounts(admin: Subject, role: str) -> None:
    user = _colleague(admin)
    other = factories.user(user.membership.organization, role)
    subject = Subject(organization_id=admin.organization_id, role=role, user_id=other.pk)

    with pytest.raises(Forbidden):
        members.set_role(by=subject, now=NOW, user_id=user.pk, role="admin")


def test_another_organisations_account_is_not_there(admin: Subject) -> None:
    stranger = factories.user(factories.organization(), "dispatcher")

    with pytest.raises(members.AccountNotFound):
        members.set_active(by=admin, now=NOW, user_id=stranger.pk, active=False)


def test_a_driver_of_another_organisation_is_not_there(admin: Subject) -> None:
    theirs = factories.driver(factories.organization())

    with pytest.raises(InvalidArgument, match="no such driver"):
        members.create(by=admin, now=NOW, email="d@example.test", role="driver", driver_id=theirs.pk)


def test_a_change_bumps_the_version_is_audited_and_announced_after_commit(
    admin: Subject,
    notified_users: list[uuid.UUID],
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    user = _colleague(admin)
    version = User.objects.get(pk=user.pk).authz_version

    with django_capture_on_commit_callbacks(execute=True):
        members.set_role(by=admin, now=NOW, user_id=user.pk, role="auditor")

    assert notified_users == [user.pk]
    assert User.objects.get(pk=user.pk).authz_version == version + 1
    entry = AuditEntry.objects.filter(action="permission", entity_id=str(user.pk)).latest("id")
    assert (entry.before or {})["role"] == "dispatcher"
    assert (entry.after or {})["role"] == "auditor"


def test_the_same_role_again_changes_nothing(admin: Subject) -> None:
    user = _colleague(admin)
    version = User.objects.get(pk=user.pk).authz_version

    members.set_role(by=admin, now=NOW, user_id=user.pk, role="dispatcher")

    assert User.objects.get(pk=user.pk).authz_version == version


def test_a_weak_password_is_refused(admin: Subject) -> None:
    user = _colleague(admin)

    with pytest.raises(InvalidArgument):
        members.set_password(by=admin, now=NOW, user_id=user.pk, password="password")


def test_removing_a_member_keeps_the_account(admin: Subject) -> None:
    user = _colleague(admin)

    members.remove(by=admin, now=NOW, user_id=user.pk)

    assert User.objects.filter(pk=user.pk).exists()
    assert not Membership.objects.filter(user=user).exists()


def test_a_key_name_that_lifts_the_limits_is_reserved(admin: Subject, settings: Any) -> None:
    settings.RATE_LIMIT_WHITELIST = ["batch-processor"]

    with pytest.raises(InvalidArgument, match="reserved"):
        api_keys.create(by=admin, now=NOW, name="batch-processor", scopes=["shipments:read"])
