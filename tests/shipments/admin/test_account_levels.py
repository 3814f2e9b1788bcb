"""The admin and accounts above the operator: shown read only with the reason, and each attempt is audited."""

from typing import Any

import pytest

from shipments.auth import subjects
from shipments.models import AuditEntry, Membership, Organization, User
from shipments.services.accounts import api_keys
from tests import factories
from tests.factories import NOW
from tests.narrowing import present
from tests.shipments.admin.operators import OperatorFactory, messages_of
from tests.shipments.api.accounts.auth_client import issue_access_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def superuser(organization: Organization) -> User:
    """Return a superuser that is a member of the operators' organisation, too."""
    user = factories.user(organization, "admin")
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    return user


def _denials(user: User) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action="denied", outcome="refused", entity_id__contains=str(user.pk)))


def _form(user: User, **fields: Any) -> dict[str, Any]:
    return {"email": user.email, "name": user.name, "role": "admin", "is_active": "on"} | fields


@pytest.mark.parametrize(
    "fields", [{"password_new": "correct horse battery"}, {"email": "mine@example.test"}, {"role": "auditor"}]
)
def test_a_superusers_account_is_out_of_a_staff_administrators_reach(
    operator: OperatorFactory, superuser: User, fields: dict[str, str]
) -> None:
    client = operator("admin")
    before = User.objects.filter(pk=superuser.pk).values().get()

    response = client.post(f"/admin/shipments/user/{superuser.pk}/change/", _form(superuser, **fields))

    assert response.status_code == 403
    assert User.objects.filter(pk=superuser.pk).values().get() == before
    assert superuser.membership.role == "admin"
    [denial] = _denials(superuser)
    assert (denial.actor_role, present(denial.after)["method"]) == ("admin", "POST")


def test_such_an_account_is_shown_read_only_with_the_reason(operator: OperatorFactory, superuser: User) -> None:
    page = operator("admin").get(f"/admin/shipments/user/{superuser.pk}/change/")

    assert b"This account belongs to a superuser: only superusers change it." in page.content
    assert b'name="email"' not in page.content
    assert b'name="password_new"' not in page.content
    assert superuser.email.encode() in page.content


def test_an_account_of_the_own_level_has_its_form(operator: OperatorFactory, organization: Organization) -> None:
    colleague = factories.user(organization, "admin")
    User.objects.filter(pk=colleague.pk).update(is_staff=True)

    page = operator("admin").get(f"/admin/shipments/user/{colleague.pk}/change/")

    assert b'name="password_new"' in page.content


def test_a_bulk_action_passes_over_such_an_account(
    operator: OperatorFactory, organization: Organization, superuser: User
) -> None:
    member = factories.user(organization, "auditor")

    response = operator("admin").post(
        "/admin/shipments/user/",
        {"action": "remove", "_selected_action": [str(superuser.pk), str(member.pk)]},
    )

    assert list(Membership.objects.filter(user__in=[superuser, member])) == [superuser.membership]
    assert any("belongs to a superuser" in text for text in messages_of(response))
    [denial] = _denials(superuser)
    assert (denial.entity, present(denial.after)["path"]) == ("user", "/admin/shipments/user/")


def test_a_superusers_key_is_revoked_by_superusers(operator: OperatorFactory, superuser: User) -> None:
    owner = subjects.subject_of_user(superuser)
    key, _ = api_keys.create(by=present(owner), now=NOW, name="root", scopes=["shipments:read"])
    choice = {"action": "revoke", "_selected_action": [str(key.pk)]}

    operator("admin").post("/admin/shipments/apikey/", choice)
    key.refresh_from_db()
    after_staff = key.revoked_at
    operator("root").post("/admin/shipments/apikey/", choice)
    key.refresh_from_db()

    assert (after_staff, key.revoked_at is None) == (None, False)
    assert [each.entity for each in _denials(superuser)] == ["user"]


def test_the_api_refuses_it_as_well(client: Any, organization: Organization, superuser: User) -> None:
    owner = subjects.subject_of_user(superuser)
    key, _ = api_keys.create(by=present(owner), now=NOW, name="root", scopes=["shipments:read"])
    token = issue_access_token(factories.user(organization, "admin"))

    response = client.delete(f"/api/auth/api-keys/{key.pk}", headers={"authorization": f"Bearer {token}"})

    assert (response.status_code, response.json()["detail"]) == (
        403, "This account belongs to a superuser: only superusers change it.",
    )  # fmt: skip
    key.refresh_from_db()
    assert key.revoked_at is None
    assert [each.entity for each in _denials(superuser)] == ["user"]
