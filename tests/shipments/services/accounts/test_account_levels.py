"""No act on an account above one's own level: every account service, by every level, on every level."""

import inspect
import uuid
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import pytest

from shipments.auth import subjects
from shipments.auth.subjects import AccountLevel, Forbidden, Subject
from shipments.models import ApiKey, Organization, User
from shipments.services.accounts import api_keys, members
from shipments.services.accounts.account_levels import AccountAboveActor
from tests import factories
from tests.factories import NOW
from tests.narrowing import present

pytestmark = pytest.mark.django_db

# One call of each service that acts on the account of somebody else.
ACTS: dict[str, Callable[[Subject, User], object]] = {
    "members.set_role": lambda by, target: members.set_role(by=by, now=NOW, user_id=target.pk, role="auditor"),
    "members.remove": lambda by, target: members.remove(by=by, now=NOW, user_id=target.pk),
    "members.set_active": lambda by, target: members.set_active(by=by, now=NOW, user_id=target.pk, active=False),
    "members.set_password": lambda by, target: members.set_password(
        by=by, now=NOW, user_id=target.pk, password="correct horse battery"
    ),
    "members.set_staff": lambda by, target: members.set_staff(
        by=by, now=NOW, user_id=target.pk, staff=not target.is_staff
    ),
    "members.update_profile": lambda by, target: members.update_profile(
        by=by, now=NOW, user_id=target.pk, email=f"{uuid.uuid4()}@example.test", name="Other"
    ),
    "api_keys.revoke": lambda by, target: api_keys.revoke(
        by=by, now=NOW, key_id=ApiKey.objects.values_list("pk", flat=True).get(user=target)
    ),
}
# Services that act for the subject itself, or make what was not there.
OWN = {"members.create", "api_keys.create"}
# Who acts: an administrator of the organisation that is no staff, one that is, and those who run the installation.
ACTORS = {
    "member": AccountLevel.MEMBER, "staff": AccountLevel.STAFF,
    "superuser": AccountLevel.SUPERUSER, "system": AccountLevel.SUPERUSER,
}  # fmt: skip
LEVELS = list(AccountLevel)


def _services(module: ModuleType) -> set[str]:
    """Return the public functions of a module of services."""
    name = module.__name__.rpartition(".")[2]
    functions = inspect.getmembers(module, inspect.isfunction)
    return {
        f"{name}.{function}"
        for function, value in functions
        if value.__module__ == module.__name__ and not function.startswith("_")
    }


def _account(organization: Organization, level: AccountLevel) -> User:
    user = factories.user(organization, "admin")
    user.is_staff, user.is_superuser = level >= AccountLevel.STAFF, level >= AccountLevel.SUPERUSER
    user.save(update_fields=["is_staff", "is_superuser"])
    return user


def _actor(organization: Organization, name: str) -> Subject:
    if name == "system":
        return subjects.system_subject(organization.pk, name="manage.py")
    user = _account(organization, ACTORS[name])
    if name == "superuser":
        return subjects.superuser_subject(user, organization.pk)
    return present(subjects.subject_of_user(user))


def _state(target: User) -> tuple[object, ...]:
    row = User.objects.values_list("email", "password", "is_active", "is_staff", "membership__role").get(
        pk=target.pk
    )
    return (*row, ApiKey.objects.filter(user=target, revoked_at=None).count())


def test_every_account_service_is_covered() -> None:
    assert _services(members) | _services(api_keys) == set(ACTS) | OWN


@pytest.mark.parametrize("target_level", LEVELS, ids=lambda level: f"on-{level.name.lower()}")
@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("act", ACTS)
def test_nobody_acts_on_an_account_above_their_level(act: str, actor: str, target_level: AccountLevel) -> None:
    organization = factories.organization()
    by, target = _actor(organization, actor), _account(organization, target_level)
    owner = present(subjects.subject_of_user(target))
    api_keys.create(by=owner, now=NOW, name="tms", scopes=["shipments:read"])
    before = _state(target)

    if act == "members.set_staff" and ACTORS[actor] < AccountLevel.SUPERUSER:
        with pytest.raises(Forbidden):
            ACTS[act](by, target)
    elif ACTORS[actor] < target_level:
        with pytest.raises(AccountAboveActor):
            ACTS[act](by, target)
    else:
        ACTS[act](by, target)
        assert _state(target) != before
        return
    assert _state(target) == before


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name.lower())
def test_everybody_revokes_their_own_key(level: AccountLevel) -> None:
    by = present(subjects.subject_of_user(_account(factories.organization(), level)))
    key, _ = api_keys.create(by=by, now=NOW, name="tms", scopes=["shipments:read"])

    api_keys.revoke(by=by, now=NOW, key_id=key.pk)

    assert ApiKey.objects.get(pk=key.pk).revoked_at == NOW


def test_the_level_is_that_of_the_account_and_not_of_its_role() -> None:
    superuser = _account(factories.organization(), AccountLevel.SUPERUSER)
    dispatcher = replace(present(subjects.subject_of_user(superuser)), role="dispatcher")

    assert AccountLevel.of(superuser) is AccountLevel.SUPERUSER
    assert dispatcher.level is AccountLevel.STAFF  # outside of the admin it acts as a member, and no more
