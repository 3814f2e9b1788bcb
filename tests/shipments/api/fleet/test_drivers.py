"""/api/drivers and /api/drivers/{id}."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Driver, Organization
from tests import factories
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.django_db
PATH = "/api/drivers"


def names(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [driver["name"] for driver in response.json()["results"]]


def test_a_list_is_ordered_by_name_and_paged(api: Api, organization: Organization) -> None:
    for name in ("Cleo", "Abe", "Abe", "Bea"):
        factories.driver(organization, name)

    first = api.get(f"{PATH}?limit=2")
    second = api.get(first.json()["next"])

    assert names(first) == ["Abe", "Abe"]
    assert names(second) == ["Bea", "Cleo"]
    assert second.json()["next"] is None
    assert names(api.get(second.json()["previous"])) == ["Abe", "Abe"]
    assert names(api.get(f"{PATH}?ordering=-name")) == ["Cleo", "Bea", "Abe", "Abe"]


def test_drivers_are_filtered_by_name_and_status(api: Api, organization: Organization) -> None:
    factories.driver(organization, "Abe Lee")
    gone = factories.driver(organization, "Bea Lee")
    Driver.objects.filter(pk=gone.pk).update(status="inactive")

    assert names(api.get(PATH, {"q": "lee"})) == ["Abe Lee", "Bea Lee"]
    assert names(api.get(PATH, {"q": "lee", "status": "inactive"})) == ["Bea Lee"]


@pytest.mark.parametrize("query", ["status=asleep", "organization=1", "ordering=phone", "phone=1"])
def test_invalid_parameters_are_named(api: Api, query: str) -> None:
    response = api.get(f"{PATH}?{query}")

    assert response.status_code == 400
    assert [field for field, _ in field_errors(response)] == [query.partition("=")[0]]


@pytest.mark.parametrize("rows", [1, 50])
def test_a_page_is_one_query(api: Api, organization: Organization, rows: int) -> None:
    for _ in range(rows):
        factories.driver(organization)

    with CaptureQueriesContext(connection) as queries:
        assert len(names(api.get(PATH))) == rows

    assert len(queries) == 1


def test_a_driver_is_added_shown_and_changed(api: Api) -> None:
    added = api.post(PATH, {"name": " Dana ", "phone": "+31 6", "licenseNumber": "L1", "vehicle": "Truck"})
    path = added["Location"]

    changed = api.patch(path, {"status": "off_duty"})

    assert added.status_code == 201
    assert added.json() == {
        "id": added.json()["id"], "name": "Dana", "phone": "+31 6", "status": "active", "licenseNumber": "L1",
        "vehicle": "Truck", "position": None,
    }  # fmt: skip
    assert changed.json() == added.json() | {"status": "off_duty"}
    assert api.get(path).json() == changed.json()


def test_a_change_is_audited(api: Api, organization: Organization) -> None:
    driver = factories.driver(organization, "Abe")

    api.patch(f"{PATH}/{driver.pk}", {"name": "Bea"})
    api.patch(f"{PATH}/{driver.pk}", {"name": "Bea"})

    entry = AuditEntry.objects.get(entity="driver", entity_id=str(driver.pk))
    assert (entry.action, entry.before, entry.after) == ("update", {"name": "Abe"}, {"name": "Bea"})


def test_a_driver_without_references_is_removed(api: Api, organization: Organization) -> None:
    driver = factories.driver(organization)
    factories.report_position(driver, 1.0, 2.0)

    assert api.delete(f"{PATH}/{driver.pk}").status_code == 204
    assert api.get(f"{PATH}/{driver.pk}").status_code == 404


def test_a_driver_with_shipments_becomes_inactive(
    api: Api, organization: Organization, dispatcher: Subject
) -> None:
    driver = factories.driver(organization)
    factories.booked_shipment(dispatcher, driver_id=driver.pk)

    assert api.delete(f"{PATH}/{driver.pk}").status_code == 204
    assert api.get(f"{PATH}/{driver.pk}").json()["status"] == "inactive"


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({}, ("name", "required")),
        ({"name": " "}, ("name", "blank")),
        ({"name": 5}, ("name", "invalid")),
        ({"name": "x" * 121}, ("name", "max_length")),
        ({"name": "A", "status": "asleep"}, ("status", "invalid_choice")),
        ({"name": "A", "organization": "x"}, ("organization", "unknown_field")),
        ({"name": "A", "phone": None}, ("phone", "null")),
    ],
)
def test_invalid_values_are_named(api: Api, body: Any, refused: tuple[str, str]) -> None:
    response = api.post(PATH, body)

    assert response.status_code == 400
    assert field_errors(response) == [refused]


@pytest.mark.parametrize("role", ["admin", "dispatcher", "driver", "customer", "auditor"])
def test_another_organisations_driver_is_404(organization: Organization, role: str) -> None:
    path = f"{PATH}/{factories.driver(organization).pk}"
    stranger = Api(factories.member(factories.organization(), role))

    answers = [
        stranger.get(path),
        stranger.patch(path, {"name": "X"}),
        stranger.patch(path, b"{"),
        stranger.delete(path),
    ]

    assert [answer.status_code for answer in answers] == [404] * 4


@pytest.mark.parametrize(
    ("role", "read", "write"), [("admin", 200, 201), ("dispatcher", 200, 201), ("auditor", 200, 403)]
)
def test_which_roles_read_and_write(organization: Organization, role: str, read: int, write: int) -> None:
    path = f"{PATH}/{factories.driver(organization).pk}"
    member = Api(factories.member(organization, role))

    assert member.get(path).status_code == read
    assert member.post(PATH, {"name": "New"}).status_code == write
    assert member.patch(path, {"name": "New"}).status_code == (200 if write == 201 else write)


def test_a_driver_sees_itself_and_a_customer_no_driver(organization: Organization) -> None:
    driver, customer = factories.member(organization, "driver"), factories.member(organization, "customer")
    factories.driver(organization, "Somebody Else")

    assert names(Api(driver).get(PATH)) == ["Dana Driver"]
    assert Api(driver).patch(f"{PATH}/{driver.driver_id}", {"name": "X"}).status_code == 403
    assert names(Api(customer).get(PATH)) == []
    assert Api(customer).get(f"{PATH}/{driver.driver_id}").status_code == 404
