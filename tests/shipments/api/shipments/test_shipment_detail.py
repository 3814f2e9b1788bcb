"""GET, PATCH and DELETE /api/shipments/{reference}."""

from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from shipments import services
from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Organization, Shipment
from tests import factories
from tests.factories import NOW
from tests.narrowing import present
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(dispatcher: Subject) -> str:
    return f"/api/shipments/{factories.booked_shipment(dispatcher, reference='Abc-1').reference}"


def without_request(problem: Any) -> Any:
    return {name: value for name, value in problem.json().items() if name not in {"instance", "requestId"}}


# -- GET --------------------------------------------------------------------------------------------------


def test_a_shipment_is_found_regardless_of_case(api: Api, path: str) -> None:
    assert api.get("/api/shipments/aBC-1").json()["reference"] == "Abc-1"


def test_a_shipment_is_read_by_one_query(api: Api, path: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        response = api.get(path)

    assert response.status_code == 200
    assert len(queries) == 1


def test_a_current_etag_is_304_without_a_body(api: Api, path: str) -> None:
    etag = api.get(path)["ETag"]

    for header in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        response = api.get(path, If_None_Match=header)
        assert (response.status_code, response.content, response["ETag"]) == (304, b"", etag)


def test_an_outdated_etag_gets_the_new_version(api: Api, path: str, dispatcher: Subject) -> None:
    etag = api.get(path)["ETag"]
    services.amend(by=dispatcher, now=NOW, reference="Abc-1", changes={"pieces": 3})

    response = api.get(path, If_None_Match=etag)

    assert response.status_code == 200
    assert response["ETag"] != etag


def test_the_etag_covers_the_position(api: Api, organization: Organization, dispatcher: Subject) -> None:
    driver = factories.driver(organization)
    shipment = factories.booked_shipment(dispatcher, driver_id=driver.pk)
    etag = api.get(f"/api/shipments/{shipment.reference}")["ETag"]

    factories.report_position(driver, 1.0, 2.0)

    after = api.get(f"/api/shipments/{shipment.reference}")["ETag"]
    assert after != etag
    assert after.partition(".")[0] == etag.partition(".")[0]


def test_a_foreign_and_a_missing_shipment_get_equal_responses(rival: Subject, path: str) -> None:
    stranger = Api(rival)

    foreign, missing = stranger.get(path), stranger.get("/api/shipments/NONE-1")

    assert (foreign.status_code, missing.status_code) == (404, 404)
    assert without_request(foreign) == without_request(missing)


@pytest.mark.parametrize("role", ["driver", "customer"])
def test_a_shipment_of_others_is_404_for_driver_and_customer(
    organization: Organization, path: str, role: str
) -> None:
    assert Api(factories.member(organization, role)).get(path).status_code == 404


@pytest.mark.parametrize("reference", ["%00", "a%2Fb", "-x", "x" * 65, "a b", "%F0%9F%9A%9A", "%ff"])
def test_a_malformed_reference_is_404(api: Api, reference: str) -> None:
    response = api.get(f"/api/shipments/{reference}")

    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"


# -- PATCH ------------------------------------------------------------------------------------------------


def test_a_change_with_the_current_etag_is_applied(api: Api, path: str) -> None:
    etag = api.get(path)["ETag"]

    response = api.patch(path, {"pieces": 7, "notes": "fragile"}, If_Match=etag)

    assert response.status_code == 200
    assert (response.json()["pieces"], response.json()["notes"], response.json()["seq"]) == (7, "fragile", 2)
    assert response["ETag"] == api.get(path)["ETag"]


@pytest.mark.parametrize("header", ['"1.anything"', 'W/"1.x"', '"1"', "*", '"9.x", "1.y"'])
def test_of_a_tag_that_is_none_of_ours_the_seq_counts(api: Api, path: str, header: str) -> None:
    assert api.patch(path, {"pieces": 7}, If_Match=header).status_code == 200


@pytest.mark.parametrize("verb", ["patch", "post", "bulk"])
def test_an_etag_of_another_history_is_412_though_its_number_is_used_again(api: Api, path: str, verb: str) -> None:
    with transaction.atomic():
        etag = api.patch(path, {"pieces": 7}, If_Match="*")["ETag"]
        transaction.set_rollback(True)  # as a restore of a backup made before
    api.patch(path, {"pieces": 902}, If_Match="*")

    if verb == "bulk":
        item = {"op": "update", "reference": "Abc-1", "ifMatch": etag, "pieces": 8}
        status = api.post("/api/shipments/bulk", {"items": [item]}).json()["results"][0]["status"]
    elif verb == "post":
        status = api.post(f"{path}/transitions", {"to": "dispatched"}, If_Match=etag).status_code
    else:
        status = api.patch(path, {"pieces": 8}, If_Match=etag).status_code

    assert status == 412
    assert (api.get(path).json()["seq"], api.get(path).json()["pieces"]) == (2, 902)
    assert api.patch(path, {"pieces": 8}, If_Match=f"{etag}, {api.get(path)['ETag']}").status_code == 200


def test_an_etag_of_the_form_before_is_412(api: Api, path: str) -> None:
    assert api.patch(path, {"pieces": 7}, If_Match='"1.0123456789ab"').status_code == 412


@pytest.mark.parametrize("header", ['"2.x"', '"abc"', "1", '"8.x", "9.y"', f'"{"9" * 40}"'])
def test_a_stale_etag_is_412_and_changes_nothing(api: Api, path: str, header: str) -> None:
    response = api.patch(path, {"pieces": 7}, If_Match=header)

    assert response.status_code == 412
    assert api.get(path).json()["seq"] == 1


def test_a_change_without_if_match_is_428(api: Api, path: str) -> None:
    response = api.patch(path, {"pieces": 7})

    assert response.status_code == 428
    assert response["Content-Type"] == "application/problem+json"


def test_equal_values_are_no_change(api: Api, path: str) -> None:
    api.patch(path, {"pieces": 7}, If_Match="*")

    assert api.patch(path, {"pieces": 7}, If_Match="*").json()["seq"] == 2
    assert api.patch(path, {}, If_Match="*").json()["seq"] == 2


def test_a_driver_is_assigned_and_unassigned(api: Api, organization: Organization, path: str) -> None:
    driver = factories.driver(organization)

    assigned = api.patch(path, {"driverId": str(driver.pk)}, If_Match="*")
    unassigned = api.patch(path, {"driverId": None}, If_Match="*")

    assert assigned.json()["driver"]["id"] == str(driver.pk)
    assert unassigned.json()["driver"] is None


def test_a_change_is_audited_with_before_and_after(api: Api, path: str) -> None:
    api.patch(path, {"pieces": 7}, If_Match="*")

    entry = AuditEntry.objects.get(entity="shipment", entity_id="Abc-1", action="update")
    assert (present(entry.before)["pieces"], present(entry.after)["pieces"]) == (None, 7)


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({"status": "delivered"}, ("status", "unknown_field")),
        ({"reference": "X"}, ("reference", "unknown_field")),
        ({"seq": 5}, ("seq", "unknown_field")),
        ({"organization_id": "x"}, ("organization_id", "unknown_field")),
        ({"pieces": -1}, ("pieces", "min_value")),
        ({"origin": None}, ("origin", "null")),
    ],
)
def test_invalid_changes_are_named(api: Api, path: str, body: Any, refused: tuple[str, str]) -> None:
    response = api.patch(path, body, If_Match="*")

    assert response.status_code == 400
    assert field_errors(response) == [refused]


@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("dispatcher", 200), ("auditor", 403)])
def test_which_roles_change(organization: Organization, path: str, role: str, status: int) -> None:
    assert Api(factories.member(organization, role)).patch(path, {"pieces": 1}, If_Match="*").status_code == status


@pytest.mark.parametrize("role", ["driver", "customer"])
def test_drivers_and_customers_cannot_change_their_own_shipments(
    organization: Organization, dispatcher: Subject, role: str
) -> None:
    member = factories.member(organization, role)
    shipment = factories.booked_shipment(dispatcher, driver_id=member.driver_id, customer_id=member.customer_id)
    path = f"/api/shipments/{shipment.reference}"

    assert Api(member).patch(path, {"pieces": 1}, If_Match="*").status_code == 403
    assert Api(member).delete(path).status_code == 403


@pytest.mark.parametrize("role", ["admin", "dispatcher", "driver", "customer", "auditor"])
@pytest.mark.parametrize("body", [{"pieces": 1}, {"nonsense": 1}, b"{"])
def test_writes_of_another_organisation_are_404_for_every_role(path: str, role: str, body: Any) -> None:
    stranger = Api(factories.member(factories.organization(), role))

    assert stranger.patch(path, body).status_code == 404
    assert stranger.patch(path, body, If_Match="*").status_code == 404
    assert stranger.delete(path).status_code == 404
    assert stranger.post(f"{path}/transitions", body).status_code == 404


# -- DELETE -----------------------------------------------------------------------------------------------


def test_a_draft_can_be_deleted(api: Api, dispatcher: Subject) -> None:
    draft = factories.booked_shipment(dispatcher, status="draft")

    response = api.delete(f"/api/shipments/{draft.reference}")

    assert (response.status_code, response.content) == (204, b"")
    assert api.get(f"/api/shipments/{draft.reference}").status_code == 404
    assert Shipment.objects.get(pk=draft.pk).deleted_at is not None


def test_a_booked_shipment_cannot_be_deleted(api: Api, path: str) -> None:
    response = api.delete(path)

    assert response.status_code == 409
    assert api.get(path).status_code == 200


def test_a_stale_etag_deletes_nothing(api: Api, dispatcher: Subject) -> None:
    draft = factories.booked_shipment(dispatcher, status="draft")

    assert api.delete(f"/api/shipments/{draft.reference}", If_Match='"7.x"').status_code == 412
