"""The admin: drivers, customers, accounts, keys and organisations."""

import uuid

import pytest

from shipments.auth import bearers, password_hashers
from shipments.auth.password_hashers import HashGate
from shipments.models import (
    ApiKey,
    AuditEntry,
    Customer,
    Driver,
    Organization,
    User,
)
from shipments.services.accounts import api_keys
from tests import factories
from tests.factories import NOW
from tests.narrowing import present
from tests.shipments.admin.operators import OperatorFactory, create_rows, messages_of

pytestmark = pytest.mark.django_db


def test_drivers_and_customers_are_created_and_changed_by_the_services(
    operator: OperatorFactory, organization: Organization
) -> None:
    client = operator("dispatcher")

    client.post("/admin/shipments/driver/add/", {"name": "Dee", "phone": "", "status": "active"})
    client.post("/admin/shipments/customer/add/", {"name": "Cee"})
    driver = Driver.objects.get(organization=organization, name="Dee")
    client.post(f"/admin/shipments/driver/{driver.pk}/change/", {"name": "Dee", "phone": "1", "status": "off_duty"})

    driver.refresh_from_db()
    assert (driver.phone, driver.status) == ("1", "off_duty")
    customer = Customer.objects.get(organization=organization, name="Cee")
    acts = AuditEntry.objects.filter(entity_id__in=[str(driver.pk), str(customer.pk)])
    assert sorted(acts.values_list("action", flat=True)) == ["create", "create", "update"]


def test_a_customer_in_use_stays(operator: OperatorFactory, organization: Organization) -> None:
    [shipment] = create_rows(organization, 1)

    response = operator("admin").post(
        "/admin/shipments/customer/", {"action": "close", "_selected_action": [str(shipment.customer_id)]}
    )

    assert Customer.objects.filter(pk=present(shipment.customer_id)).exists()
    assert messages_of(response)[0].endswith("Shipments or people belong to this customer; it must stay.")


def test_an_account_is_created_and_changed(operator: OperatorFactory, organization: Organization) -> None:
    client = operator("admin")
    email = f"{uuid.uuid4()}@Example.test"

    client.post(
        "/admin/shipments/user/add/",
        {"email": email, "name": "New", "role": "dispatcher", "password_new": "correct horse battery"},
    )
    user = User.objects.get(email=email.lower())
    version = user.authz_version
    client.post(
        f"/admin/shipments/user/{user.pk}/change/",
        {"email": email, "name": "New", "role": "auditor", "is_active": "on"},
    )

    user = User.objects.select_related("membership").get(pk=user.pk)
    assert (user.membership.organization_id, user.membership.role) == (organization.pk, "auditor")
    assert user.authz_version == version + 1
    assert user.check_password("correct horse battery")
    assert "is_staff" not in client.get(f"/admin/shipments/user/{user.pk}/change/").context["adminform"].form.fields


def test_a_weak_password_is_refused_as_a_message(operator: OperatorFactory, organization: Organization) -> None:
    response = operator("admin").post(
        "/admin/shipments/user/add/",
        {"email": "weak@example.test", "name": "", "role": "dispatcher", "password_new": "password"},
    )

    assert response.status_code == 302
    assert "too common" in messages_of(response)[0]
    assert not User.objects.filter(email="weak@example.test").exists()


def test_a_password_that_finds_no_room_to_hash_is_refused_as_a_message(
    operator: OperatorFactory, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = factories.user(organization, "auditor")
    monkeypatch.setattr(password_hashers, "gate", HashGate(slots=0, queue=0, wait_seconds=0))

    response = operator("admin").post(
        f"/admin/shipments/user/{user.pk}/change/",
        {
            "email": user.email, "name": "", "role": "auditor", "is_active": "on",
            "password_new": "correct horse battery",
        },
    )  # fmt: skip

    assert "try again in a few seconds" in messages_of(response)[0]
    assert User.objects.get(pk=user.pk).password == user.password


def test_a_password_is_changed(operator: OperatorFactory, organization: Organization) -> None:
    user = factories.user(organization, "auditor")

    operator("admin").post(
        f"/admin/shipments/user/{user.pk}/change/",
        {
            "email": user.email, "name": "", "role": "auditor", "is_active": "on",
            "password_new": "correct horse battery",
        },
    )  # fmt: skip

    assert User.objects.get(pk=user.pk).check_password("correct horse battery")


def test_a_taken_address_is_refused(operator: OperatorFactory, organization: Organization) -> None:
    taken = factories.user(organization, "auditor")

    response = operator("root").post(
        "/admin/shipments/user/add/",
        {"email": taken.email.upper(), "name": "", "role": "dispatcher", "organization": str(organization.pk)},
    )

    assert response.status_code == 200
    assert "email" in response.context["adminform"].form.errors


def test_a_superuser_creates_an_organisation(operator: OperatorFactory) -> None:
    slug = f"o{uuid.uuid4().hex[:12]}"

    operator("root").post("/admin/shipments/organization/add/", {"name": "Fresh Freight", "slug": slug})

    assert Organization.objects.get(slug=slug).name == "Fresh Freight"
    assert operator("admin").get("/admin/shipments/organization/add/").status_code == 403


def test_a_key_is_shown_without_its_secret_and_revoked(
    operator: OperatorFactory, organization: Organization
) -> None:
    by = factories.member(organization, "admin")
    key, secret = api_keys.create(by=by, now=NOW, name="tms", scopes=["shipments:read"])
    client = operator("admin")

    page = client.get(f"/admin/shipments/apikey/{key.pk}/change/")
    client.post("/admin/shipments/apikey/", {"action": "revoke", "_selected_action": [str(key.pk)]})

    assert secret.encode() not in page.content
    assert b"digest" not in page.content
    assert ApiKey.objects.get(pk=key.pk).revoked_at is not None
    assert bearers.authenticate(secret, now=NOW) is None


def test_an_operators_own_password_is_changed_on_the_account_page(operator: OperatorFactory) -> None:
    response = operator("admin").get("/admin/password_change/")

    assert response.status_code == 302
    assert response["Location"].startswith("/admin/shipments/user/")
