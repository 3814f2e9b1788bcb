"""POST /api/shipments/{reference}/transitions."""

from typing import Any

import pytest

from shipments.auth.subjects import Subject
from shipments.domain.lifecycle import STATES
from shipments.models import AuditEntry, Organization, ShipmentEvent
from tests import factories
from tests.narrowing import present
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(dispatcher: Subject) -> str:
    return f"/api/shipments/{factories.booked_shipment(dispatcher, reference='T-1').reference}/transitions"


def test_a_legal_command_moves_the_shipment(api: Api, path: str) -> None:
    response = api.post(
        path, {"to": "dispatched", "location": "NLRTM", "reason": "slot free", "note": "Gate 4", "occurredAt": None}
    )

    assert response.status_code == 200
    assert (response.json()["status"], response.json()["seq"]) == ("dispatched", 2)
    assert response["ETag"].startswith('"2.')
    event = ShipmentEvent.objects.select_related("location").get(shipment__reference="T-1", seq=2)
    assert (event.location.locode, event.data["note"]) == ("NLRTM", "Gate 4")
    assert present(AuditEntry.objects.get(action="transition", entity_id="T-1").after)["reason"] == "slot free"


def test_an_illegal_command_is_409_with_the_allowed_states(api: Api, path: str) -> None:
    response = api.post(path, {"to": "delivered"})

    assert response.status_code == 409
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["current"] == "booked"
    assert response.json()["allowed"] == ["dispatched", "draft", "cancelled"]


def test_a_command_for_the_current_state_changes_nothing(api: Api, path: str) -> None:
    response = api.post(path, {"to": "booked"})

    assert (response.status_code, response.json()["seq"]) == (200, 1)


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({}, ("to", "required")),
        ({"to": "teleported"}, ("to", "invalid_choice")),
        ({"to": ["dispatched"]}, ("to", "invalid_choice")),
        ({"to": None}, ("to", "null")),
        ({"to": "dispatched", "occurredAt": "2150-01-01T00:00:00Z"}, ("occurredAt", "future")),
        ({"to": "dispatched", "occurredAt": "1970-01-01T00:00:00Z"}, ("occurredAt", "too_early")),
        ({"to": "dispatched", "location": "Gate"}, ("location", "invalid")),
        ({"to": "dispatched", "note": "x" * 501}, ("note", "max_length")),
        ({"to": "dispatched", "seq": 9}, ("seq", "unknown_field")),
    ],
)
def test_invalid_values_are_named(api: Api, path: str, body: Any, refused: tuple[str, str]) -> None:
    response = api.post(path, body)

    assert response.status_code == 400
    assert field_errors(response) == [refused]


def test_an_optional_if_match_is_checked(api: Api, path: str) -> None:
    assert api.post(path, {"to": "dispatched"}, If_Match='"7.x"').status_code == 412
    assert api.post(path, {"to": "dispatched"}, If_Match='"1.x"').status_code == 200


def test_a_driver_advances_its_own_shipment(organization: Organization, dispatcher: Subject) -> None:
    driver = factories.member(organization, "driver")
    shipment = factories.booked_shipment(dispatcher, driver_id=driver.driver_id)

    response = Api(driver).post(f"/api/shipments/{shipment.reference}/transitions", {"to": "dispatched"})

    assert (response.status_code, response.json()["status"]) == (200, "dispatched")


def test_a_driver_finds_no_other_shipment(organization: Organization, path: str) -> None:
    assert Api(factories.member(organization, "driver")).post(path, {"to": "dispatched"}).status_code == 404


@pytest.mark.parametrize("role", ["customer", "auditor"])
def test_customers_and_auditors_cannot_advance(organization: Organization, dispatcher: Subject, role: str) -> None:
    member = factories.member(organization, role)
    shipment = factories.booked_shipment(dispatcher, customer_id=member.customer_id)

    response = Api(member).post(f"/api/shipments/{shipment.reference}/transitions", {"to": "dispatched"})

    assert response.status_code == 403


# -- allowedTransitions -------------------------------------------------------------------------------------------


def allowed_in(shown: Any) -> list[str]:
    body = shown.json()
    (row,) = body.get("results", [body])
    return sorted(row["allowedTransitions"])


@pytest.mark.parametrize("listed", [False, True])
def test_a_shipment_names_the_states_that_a_command_may_request(
    api: Api, organization: Organization, dispatcher: Subject, *, listed: bool
) -> None:
    reference = factories.booked_shipment(dispatcher).reference
    path = f"/api/shipments/{reference}"
    shown = "/api/shipments" if listed else path
    seen = [allowed_in(api.get(shown))]

    api.post(f"{path}/transitions", {"to": "dispatched"})
    seen.append(allowed_in(api.get(shown)))
    api.patch(path, {"driverId": str(factories.driver(organization).pk)}, If_Match="*")
    seen.append(allowed_in(api.get(shown)))
    api.post(f"{path}/flags", {"flag": "on_hold"})
    seen.append(allowed_in(api.get(shown)))
    api.post(f"{path}/transitions", {"to": "cancelled"})
    seen.append(allowed_in(api.get(shown)))

    assert seen == [
        ["cancelled", "dispatched", "draft"],
        ["at_pickup", "booked", "cancelled"],
        ["at_pickup", "booked", "cancelled", "in_transit"],
        ["at_pickup", "booked", "cancelled"],
        [],
    ]


@pytest.mark.parametrize("to", STATES)
def test_what_is_named_is_what_is_accepted(api: Api, dispatcher: Subject, to: str) -> None:
    shipment = factories.booked_shipment(dispatcher)
    path = f"/api/shipments/{shipment.reference}"
    named = api.get(path).json()["allowedTransitions"]

    status = api.post(f"{path}/transitions", {"to": to}).status_code

    assert (status == 200) == (to in {*named, "booked"})


def test_who_may_not_command_is_named_no_states(organization: Organization, dispatcher: Subject) -> None:
    member = factories.member(organization, "customer")
    shipment = factories.booked_shipment(dispatcher, customer_id=member.customer_id)
    path = f"/api/shipments/{shipment.reference}"

    assert "allowedTransitions" not in Api(member).get(path).json()
    assert "allowedTransitions" not in Api(member).get("/api/shipments").json()["results"][0]
    assert (
        "allowedTransitions"
        not in Api(factories.tracking_link_subject(dispatcher, shipment.reference)).get(path).json()
    )
