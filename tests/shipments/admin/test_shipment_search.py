"""The admin's list of shipments: search by all references, customer and driver; history."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from shipments.models import AuditEntry, Organization, Shipment
from tests import factories
from tests.narrowing import present
from tests.shipments.admin.operators import OperatorFactory, create_rows, messages_of

pytestmark = pytest.mark.django_db
LIST = "/admin/shipments/shipment/"


@pytest.fixture
def shipment(organization: Organization) -> Shipment:
    """Return a shipment with a purchase order, a bill of lading, a driver and a customer, beside another."""
    by = factories.member(organization, "dispatcher")
    factories.booked_shipment(by, reference="OTHER-1")
    return factories.booked_shipment(
        by,
        reference="FIND-4711",
        references={"po": "PO-99081", "bol": "BOL-77%5"},
        driver_id=factories.driver(organization, "Jolanda Quist").pk,
        customer_id=factories.customer(organization, "Zephyr Imports").pk,
    )


def _found(client: Client, text: str, **query: str) -> list[Any]:
    return [each.reference for each in client.get(LIST, {"q": text} | query).context["cl"].queryset]


@pytest.mark.parametrize("operator_role", ["dispatcher", "root"])
@pytest.mark.parametrize(
    "text", ["find-4711", "4711", "99081", "po-99", "BOL-77%5", "jolanda", "Quist", "zephyr imp"]
)
def test_a_shipment_is_found_by_any_of_its_references_and_parties(
    operator: OperatorFactory, shipment: Shipment, operator_role: str, text: str
) -> None:
    assert _found(operator(operator_role), text) == ["FIND-4711"]


@pytest.mark.parametrize("text", ["BOL-77_5", "nowhere", "%%%", "\\"])
def test_what_is_not_there_is_not_found(operator: OperatorFactory, shipment: Shipment, text: str) -> None:
    assert _found(operator("dispatcher"), text) == []


def test_too_short_a_text_is_told_so(operator: OperatorFactory, shipment: Shipment) -> None:
    response = operator("dispatcher").get(LIST, {"q": "47"})

    assert list(response.context["cl"].queryset) == []
    assert messages_of(response) == ["Search for three letters or digits in a row, or more."]


def test_another_organisations_shipments_customers_and_drivers_are_not_found(
    operator: OperatorFactory, shipment: Shipment
) -> None:
    other = factories.organization("Rival")
    by = factories.member(other, "dispatcher")
    factories.booked_shipment(by, reference="RIVAL-1", driver_id=factories.driver(other, "Jolanda Quist").pk)

    assert _found(operator("dispatcher"), "jolanda") == ["FIND-4711"]
    assert sorted(_found(operator("root"), "jolanda")) == ["FIND-4711", "RIVAL-1"]
    assert _found(operator("root"), "jolanda", organization__id__exact=str(other.pk)) == ["RIVAL-1"]
    assert "organization" not in operator("dispatcher").get(LIST).context["cl"].list_filter


def test_the_search_reads_the_index_of_references(operator: OperatorFactory, shipment: Shipment) -> None:
    client = operator("root")
    with CaptureQueriesContext(connection) as queries:
        client.get(LIST, {"q": "99081"})
    [statement] = [each["sql"] for each in queries if "LIMIT 501" in each["sql"]]

    with connection.cursor() as cursor:
        # The table of a test is small: reading all of it would be cheaper. Both are undone with the test.
        cursor.execute("SET LOCAL enable_seqscan = off; DROP INDEX shipment_reference_once, shipment_present")
        cursor.execute("EXPLAIN " + statement.replace("%", "%%"), [])
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "shipment_searched" in plan


def test_events_and_audit_are_reached_from_the_shipment(
    operator: OperatorFactory, organization: Organization
) -> None:
    shipment, _ = create_rows(organization, 2)
    client = operator("admin")
    client.post(
        f"{LIST}{shipment.pk}/change/",
        {"references": "{}", "origin_code": "NLRTM", "destination_code": "DEHAM", "version_read": 1, "pieces": "3",
         "customer": str(present(shipment.customer_id)), "driver": str(present(shipment.driver_id))},
    )  # fmt: skip

    page = client.get(f"{LIST}{shipment.pk}/change/")
    events, audit = (
        client.get(link).context["cl"].queryset
        for link in page.context["adminform"].model_admin.history(shipment).replace("&amp;", "&").split('"')[1:4:2]
    )

    assert [each.seq for each in events] == [2, 1]
    assert [each.action for each in audit] == ["update", "create"]
    assert audit.count() == AuditEntry.objects.filter(entity_id=shipment.reference).count()
    assert b"Events</a>" in page.content


@pytest.mark.parametrize(
    ("reason", "status"), [("", "booked"), ("  ", "booked"), ("The customer withdrew", "cancelled")]
)
def test_a_cancellation_needs_a_reason(
    operator: OperatorFactory, organization: Organization, reason: str, status: str
) -> None:
    [shipment] = create_rows(organization, 1)

    response = operator("dispatcher").post(
        f"{LIST}{shipment.pk}/change/",
        {"references": "{}", "origin_code": "NLRTM", "destination_code": "DEHAM", "version_read": 1,
         "customer": str(present(shipment.customer_id)), "driver": str(present(shipment.driver_id)),
         "move_to": "cancelled", "reason": reason},
    )  # fmt: skip

    shipment.refresh_from_db()
    assert shipment.status == status
    if status == "booked":
        assert response.context["adminform"].form.errors["reason"] == ["Say why the shipment is cancelled."]
