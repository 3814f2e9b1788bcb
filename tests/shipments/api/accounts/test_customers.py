"""/api/customers and /api/customers/{id}."""

from typing import Any

import pytest

from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Organization
from tests import factories
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.django_db
PATH = "/api/customers"


def names(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [customer["name"] for customer in response.json()["results"]]


def test_a_list_is_ordered_by_name_and_paged(api: Api, organization: Organization) -> None:
    for name in ("Cargo", "Acme", "Bulk"):
        factories.customer(organization, name)

    first = api.get(f"{PATH}?limit=2")

    assert names(first) == ["Acme", "Bulk"]
    assert names(api.get(first.json()["next"])) == ["Cargo"]
    assert names(api.get(PATH, {"q": "UL"})) == ["Bulk"]


def test_an_account_is_added_shown_changed_and_removed(api: Api) -> None:
    added = api.post(PATH, {"name": "Acme", "email": "hi@acme.test"})
    path = added["Location"]

    changed = api.patch(path, {"phone": "+31 20"})

    assert added.status_code == 201
    assert (changed.json()["email"], changed.json()["phone"]) == ("hi@acme.test", "+31 20")
    assert api.get(path).json() == changed.json()
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404
    assert sorted(AuditEntry.objects.filter(entity="customer").values_list("action", flat=True)) == [
        "create", "delete", "update"
    ]  # fmt: skip


def test_an_account_with_shipments_cannot_be_removed(
    api: Api, organization: Organization, dispatcher: Subject
) -> None:
    customer = factories.customer(organization)
    factories.booked_shipment(dispatcher, customer_id=customer.pk)

    response = api.delete(f"{PATH}/{customer.pk}")

    assert (response.status_code, response["Content-Type"]) == (409, "application/problem+json")


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({}, ("name", "required")),
        ({"name": "A", "email": "nobody"}, ("email", "invalid")),
        ({"name": "A", "email": 5}, ("email", "invalid")),
        ({"name": "A", "id": "x"}, ("id", "unknown_field")),
    ],
)
def test_invalid_values_are_named(api: Api, body: Any, refused: tuple[str, str]) -> None:
    response = api.post(PATH, body)

    assert response.status_code == 400
    assert field_errors(response) == [refused]


@pytest.mark.parametrize("role", ["admin", "dispatcher", "driver", "customer", "auditor"])
def test_another_organisations_account_is_404(organization: Organization, role: str) -> None:
    path = f"{PATH}/{factories.customer(organization).pk}"
    stranger = Api(factories.member(factories.organization(), role))

    answers = [
        stranger.get(path),
        stranger.patch(path, {"name": "X"}),
        stranger.patch(path, b"{"),
        stranger.delete(path),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4


@pytest.mark.parametrize(("role", "status"), [("admin", 201), ("dispatcher", 201), ("auditor", 403)])
def test_which_roles_add_an_account(organization: Organization, role: str, status: int) -> None:
    assert Api(factories.member(organization, role)).post(PATH, {"name": "New"}).status_code == status


def test_a_customer_sees_its_own_account_and_a_driver_none(organization: Organization) -> None:
    customer, driver = factories.member(organization, "customer"), factories.member(organization, "driver")
    factories.customer(organization, "Somebody Else")

    assert names(Api(customer).get(PATH)) == ["Northwind Traders"]
    assert Api(customer).patch(f"{PATH}/{customer.customer_id}", {"name": "X"}).status_code == 403
    assert names(Api(driver).get(PATH)) == []
    assert Api(driver).get(f"{PATH}/{customer.customer_id}").status_code == 404
