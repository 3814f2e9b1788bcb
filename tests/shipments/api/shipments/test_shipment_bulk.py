"""POST /api/shipments/bulk."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from shipments.auth.subjects import Subject
from shipments.models import Organization, Shipment, ShipmentEvent
from tests import factories
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.django_db
PATH = "/api/shipments/bulk"
CREATE = {"op": "create", "origin": "NLRTM", "destination": "DEHAM"}
OBSERVE = {"op": "observe", "classifier": "ACT", "occurredAt": "2026-03-02T13:00:00Z", "source": "carrier"}


def outcomes(response: Any) -> list[tuple[int, int, str | None]]:
    assert response.status_code == 200, response.content
    return [(each["index"], each["status"], each["reference"]) for each in response.json()["results"]]


def test_items_are_applied_in_order_and_show_the_final_state(api: Api) -> None:
    response = api.post(PATH, {"items": [
        {**CREATE, "reference": "A-1", "status": "booked"},
        {"op": "update", "reference": "a-1", "ifMatch": '"1.whatever"', "pieces": 7},
        {"op": "transition", "reference": "A-1", "to": "dispatched"},
    ]})  # fmt: skip

    assert outcomes(response) == [(0, 201, "A-1"), (1, 200, "A-1"), (2, 200, "A-1")]
    assert (response.json()["succeeded"], response.json()["failed"]) == (3, 0)
    shipment = api.get("/api/shipments/A-1").json()
    assert [each["shipment"] for each in response.json()["results"]] == [shipment] * 3
    assert (shipment["seq"], shipment["pieces"], shipment["status"]) == (3, 7, "dispatched")


def test_a_failed_item_does_not_affect_others(api: Api, dispatcher: Subject, rival: Subject) -> None:
    factories.booked_shipment(dispatcher, reference="OLD")
    factories.booked_shipment(rival, reference="THEIRS")
    items = [
        {**CREATE, "reference": "NEW"},
        {**CREATE, "reference": "old"},
        {**CREATE, "reference": "bad name"},
        {"op": "create"},
        {"op": "update", "reference": "THEIRS", "pieces": 1},
        {"op": "update", "reference": "OLD", "ifMatch": '"9.x"', "pieces": 1},
        {"op": "transition", "reference": "OLD", "to": "delivered"},
        {"op": "update", "reference": "OLD", "organization": "x"},
        {"op": "destroy", "reference": "OLD"},
        {"op": ["create"]},
        "nonsense",
        None,
        {"op": "update", "reference": "OLD", "ifMatch": 1},
        {"op": "update", "reference": "OLD", "notes": "at last"},
    ]

    response = api.post(PATH, {"items": items})

    statuses = [status for _, status, _ in outcomes(response)]
    assert statuses == [201, 409, 400, 400, 404, 412, 409, 400, 400, 400, 400, 400, 400, 200]
    results = response.json()["results"]
    assert results[6]["problem"]["current"] == "booked"
    assert [error["field"] for error in results[3]["problem"]["errors"]] == ["origin", "destination"]
    assert results[7]["problem"]["errors"][0]["field"] == "organization"
    assert [each["reference"] for each in results[9:12]] == [None, None, None]
    old = Shipment.objects.of_organization(dispatcher.organization_id).get(reference="OLD")
    assert (old.seq, old.notes) == (2, "at last")
    assert ShipmentEvent.objects.filter(organization_id=dispatcher.organization_id).count() == 3


@pytest.mark.parametrize("items", [[], "x", {}, None, [CREATE] * 1001])
def test_an_invalid_list_is_refused_as_a_whole(api: Api, organization: Organization, items: Any) -> None:
    response = api.post(PATH, {"items": items})

    assert response.status_code == 400
    assert [field for field, _ in field_errors(response)] == ["items"]
    assert not Shipment.objects.of_organization(organization.pk).exists()


def test_one_key_covers_all_items(api: Api, organization: Organization) -> None:
    body = {"items": [CREATE, {"op": "create"}]}

    first, again = (api.post(PATH, body, Idempotency_Key="k") for _ in range(2))

    assert outcomes(first)[1] == (1, 400, None)
    assert (again.content, again["Idempotency-Replayed"]) == (first.content, "true")
    assert Shipment.objects.of_organization(organization.pk).count() == 1


@pytest.mark.parametrize("role", ["driver", "customer", "auditor"])
def test_roles_without_write_permission_are_403(organization: Organization, role: str) -> None:
    response = Api(factories.member(organization, role)).post(PATH, {"items": [CREATE]})

    assert response.status_code == 403


def test_the_path_segment_is_no_valid_reference(api: Api) -> None:
    assert api.get(PATH).status_code == 405
    assert outcomes(api.post(PATH, {"items": [{**CREATE, "reference": "bulk"}]})) == [(0, 400, "bulk")]


def test_items_that_change_nothing_cost_three_statements_each(
    api: Api, dispatcher: Subject, django_assert_max_num_queries: Any
) -> None:
    factories.booked_shipment(dispatcher, reference="ONE")
    item = {"op": "update", "reference": "ONE"}

    with django_assert_max_num_queries(4 + 20 * 3):
        response = api.post(PATH, {"items": [item] * 20})

    assert response.json()["succeeded"] == 20


def test_the_first_item_gets_a_reference_and_later_ones_conflict(api: Api, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher, reference="OLD")
    items = [
        {**CREATE, "reference": "NEW", "pieces": 1},
        {**CREATE, "reference": "new", "pieces": 2},
        {**CREATE, "reference": "old"},
        {"op": "update", "reference": "NEW", "pieces": 3},
        {**CREATE, "reference": "New"},
    ]

    response = api.post(PATH, {"items": items})

    assert [status for _, status, _ in outcomes(response)] == [201, 409, 409, 200, 409]
    shipment = api.get("/api/shipments/NEW").json()
    assert (shipment["pieces"], shipment["seq"]) == (3, 2)


def test_observations_are_stored_and_judged_each_on_its_own(api: Api, dispatcher: Subject, rival: Subject) -> None:
    factories.booked_shipment(dispatcher, reference="A-1")
    factories.booked_shipment(rival, reference="THEIRS")

    response = api.post(PATH, {"items": [
        {**OBSERVE, "reference": "a-1", "status": "in_transit", "sourceEventId": "1", "location": "NLRTM"},
        {**OBSERVE, "reference": "A-1", "status": "in_transit", "sourceEventId": "1", "location": "NLRTM"},
        {**OBSERVE, "reference": "A-1", "code": "Q9", "codeSystem": "edi214"},
        {**OBSERVE, "reference": "A-1", "ifMatch": '"1.x"', "status": "delivered"},
        {**OBSERVE, "reference": "THEIRS", "status": "delivered"},
        {**OBSERVE, "reference": "A-1"},
        {**OBSERVE, "reference": "A-1", "status": "delivered", "location": "NLQQQ"},
        {**OBSERVE, "reference": "A-1", "status": "at_facility", "occurredAt": "2026-03-02T14:00:00Z"},
    ]})  # fmt: skip

    assert [status for _, status, _ in outcomes(response)] == [201, 200, 201, 412, 404, 400, 400, 201]
    results = response.json()["results"]
    assert [each["checkpoint"]["outcome"] for each in results if "checkpoint" in each] == [
        "applied", "applied", "anomalous", "applied",
    ]  # fmt: skip
    shipment = api.get("/api/shipments/A-1").json()
    assert (shipment["status"], shipment["seq"]) == ("at_facility", 4)
    assert results[0]["shipment"] == results[7]["shipment"] == shipment
    assert results[1]["checkpoint"] == results[0]["checkpoint"]
    listed = api.get("/api/shipments/A-1/checkpoints").json()["results"]
    assert [each["id"] for each in listed] == [results[index]["checkpoint"]["id"] for index in (0, 2, 7)]


def test_an_observation_in_bulk_corrects_another(api: Api, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher, reference="A-1")
    wrong = api.post("/api/shipments/A-1/checkpoints", {
        "classifier": "ACT", "occurredAt": "2026-03-02T13:00:00Z", "source": "carrier", "status": "delivered",
    }).json()  # fmt: skip

    response = api.post(
        PATH,
        {"items": [{**OBSERVE, "reference": "A-1", "status": "in_transit", "supersedes": wrong["id"]}]},
    )

    assert response.json()["results"][0]["shipment"]["status"] == "in_transit"


def test_a_driver_observes_its_own_shipments_in_bulk_and_does_nothing_else(
    organization: Organization, dispatcher: Subject
) -> None:
    driver = factories.driver(organization)
    factories.booked_shipment(dispatcher, reference="MINE", driver_id=driver.pk)
    factories.booked_shipment(dispatcher, reference="OTHER")
    api = Api(factories.member(organization, "driver", driver=driver))
    items = [{**OBSERVE, "reference": name, "status": "in_transit"} for name in ("MINE", "OTHER")]

    response = api.post(PATH, {"items": items})

    assert [status for _, status, _ in outcomes(response)] == [201, 404]
    assert api.post(PATH, {"items": [*items, {"op": "update", "reference": "MINE"}]}).status_code == 403


def test_a_thousand_items_are_booked_in_a_few_statements(api: Api, organization: Organization) -> None:
    driver = factories.driver(organization)
    items = [{**CREATE, "reference": f"M-{number}", "driverId": str(driver.pk)} for number in range(1000)]

    with CaptureQueriesContext(connection) as queries:
        response = api.post(PATH, {"items": items})

    assert response.json()["succeeded"] == 1000
    tables = [query["sql"].split('"')[1] for query in queries if query["sql"].startswith("INSERT INTO")]
    assert sorted(set(tables)) == [
        "shipments_auditentry", "shipments_location", "shipments_shipment", "shipments_shipmentevent",
    ]  # fmt: skip
    assert len(queries) < 30
    assert ShipmentEvent.objects.filter(organization_id=organization.pk, seq=1, type="created").count() == 1000
