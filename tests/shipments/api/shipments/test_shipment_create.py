"""POST /api/shipments."""

import json
from typing import Any

import pytest

from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Organization, Shipment, ShipmentEvent
from tests import factories
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.django_db
PATH = "/api/shipments"
BOOKING = {"origin": "NLRTM", "destination": "DEHAM"}


def test_a_shipment_starts_as_a_draft_with_a_generated_reference(api: Api) -> None:
    response = api.post(PATH, BOOKING)

    shipment = response.json()
    assert response.status_code == 201
    assert response["Location"] == f"/api/shipments/{shipment['reference']}"
    assert response["ETag"].startswith('"1.')
    assert (shipment["status"], shipment["seq"]) == ("draft", 1)
    assert shipment["origin"] == {
        "locode": "NLRTM", "name": "Rotterdam", "country": "NL", "latitude": 51.9167, "longitude": 4.5
    }  # fmt: skip
    assert api.get(response["Location"]).json() == shipment


def test_every_field_of_a_booking_is_stored(api: Api, organization: Organization) -> None:
    driver, customer = factories.driver(organization), factories.customer(organization)
    body = {
        "reference": "PO-7", "status": "booked", "origin": {"name": "Yard 7", "country": "NL"},
        "destination": {"name": "Dock", "country": "DE", "latitude": 53.5, "longitude": 10},
        "customerId": str(customer.pk), "driverId": str(driver.pk), "references": {"po": "4500", "bol": "B-1"},
        "pieces": 12, "weightKg": 1200.5, "volumeM3": 3, "plannedPickupAt": "2026-03-01T08:00:00+01:00",
        "plannedDeliveryAt": "2026-03-02T08:00:00Z", "eta": None, "notes": "Ring twice",
    }  # fmt: skip

    shipment = api.post(PATH, body).json()

    names = ("reference", "status", "pieces", "weightKg", "volumeM3", "notes")
    assert [shipment[name] for name in names] == [body[name] for name in names]
    assert shipment["plannedPickupAt"] == "2026-03-01T07:00:00Z"
    assert shipment["driver"] == {"id": str(driver.pk), "name": driver.name, "phone": driver.phone}
    assert shipment["customer"] == {"id": str(customer.pk), "name": customer.name}
    assert shipment["references"] == {"po": "4500", "bol": "B-1"}
    assert shipment["destination"]["longitude"] == 10


def test_a_place_from_a_response_is_accepted_in_a_request(api: Api) -> None:
    shipment = api.post(PATH, BOOKING).json()

    again = api.post(PATH, {"origin": shipment["origin"], "destination": shipment["destination"]})

    assert again.json()["origin"] == shipment["origin"]


def test_a_booking_writes_one_event_and_one_audit_entry(api: Api, dispatcher: Subject) -> None:
    shipment = api.post(PATH, BOOKING, X_Request_ID="abc-123").json()

    assert ShipmentEvent.objects.filter(shipment_id=shipment["id"]).values_list("seq", "type").get() == (
        1,
        "created",
    )
    entry = AuditEntry.objects.get(entity="shipment", entity_id=shipment["reference"])
    assert (entry.action, entry.actor_id) == ("create", dispatcher.user_id)


def test_a_reference_is_unique_regardless_of_case(api: Api) -> None:
    api.post(PATH, BOOKING | {"reference": "po-1"})

    response = api.post(PATH, BOOKING | {"reference": "PO-1"})

    assert response.status_code == 409
    assert response["Content-Type"] == "application/problem+json"


def test_another_organisation_may_use_the_same_reference(api: Api, rival: Subject) -> None:
    api.post(PATH, BOOKING | {"reference": "PO-1"})

    assert Api(rival).post(PATH, BOOKING | {"reference": "PO-1"}).status_code == 201


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({}, [("origin", "required"), ("destination", "required")]),
        (
            BOOKING | {"organization": "x", "seq": 9, "createdBy": "me", "id": "1"},
            [
                ("createdBy", "unknown_field"),
                ("id", "unknown_field"),
                ("organization", "unknown_field"),
                ("seq", "unknown_field"),
            ],
        ),
        (BOOKING | {"origin": "Rotterdam"}, [("origin", "invalid")]),
        (BOOKING | {"origin": "XXXXX"}, [("origin", "unknown_place")]),
        (BOOKING | {"origin": 7}, [("origin", "invalid")]),
        (BOOKING | {"origin": None}, [("origin", "null")]),
        (BOOKING | {"origin": {"name": "Yard"}}, [("origin", "country")]),
        (
            BOOKING | {"origin": {"name": "Yard", "country": "NL", "latitude": 91, "longitude": 0}},
            [("origin", "degrees")],
        ),
        (BOOKING | {"origin": {"name": "Yard", "country": "NL", "latitude": 9}}, [("origin", "degrees")]),
        (BOOKING | {"origin": {"name": "Yard", "country": "NL", "x": 9}}, [("origin", "unknown_field")]),
        (BOOKING | {"status": "delivered"}, [("status", "invalid_choice")]),
        (BOOKING | {"status": ["draft"]}, [("status", "invalid_choice")]),
        (BOOKING | {"reference": "bulk"}, [("reference", "invalid")]),
        (BOOKING | {"reference": "a/b"}, [("reference", "invalid")]),
        (BOOKING | {"reference": "x" * 65}, [("reference", "max_length")]),
        (BOOKING | {"reference": 5}, [("reference", "invalid")]),
        (BOOKING | {"pieces": -1}, [("pieces", "min_value")]),
        (BOOKING | {"pieces": 10**400}, [("pieces", "max_value")]),
        (BOOKING | {"pieces": "5"}, [("pieces", "invalid")]),
        (BOOKING | {"pieces": True}, [("pieces", "invalid")]),
        (BOOKING | {"pieces": 1.5}, [("pieces", "invalid")]),
        (BOOKING | {"weightKg": 1e30}, [("weightKg", "max_digits")]),
        (BOOKING | {"weightKg": 10**400}, [("weightKg", "max_digits")]),
        (BOOKING | {"weightKg": -1}, [("weightKg", "min_value")]),
        (BOOKING | {"weightKg": "heavy"}, [("weightKg", "invalid")]),
        (BOOKING | {"weightKg": 1.23456}, [("weightKg", "max_decimal_places")]),
        (BOOKING | {"plannedPickupAt": "tomorrow"}, [("plannedPickupAt", "invalid")]),
        (BOOKING | {"plannedPickupAt": "0001-01-01T00:00:00+14:00"}, [("plannedPickupAt", "invalid")]),
        (BOOKING | {"plannedPickupAt": 5}, [("plannedPickupAt", "invalid")]),
        (
            BOOKING | {"plannedPickupAt": "2026-03-02T00:00:00Z", "plannedDeliveryAt": "2026-03-01T00:00:00Z"},
            [("plannedDeliveryAt", "invalid")],
        ),
        (BOOKING | {"customerId": "7"}, [("customerId", "invalid")]),
        (BOOKING | {"driverId": "01a20a0d-bfad-7703-9343-e017bcbeafe3"}, [("driverId", "unknown_driver")]),
        (BOOKING | {"references": {"po": 5}}, [("references", "value")]),
        (BOOKING | {"references": {"p o": "5"}}, [("references", "name")]),
        (BOOKING | {"references": {"po": "x" * 65}}, [("references", "value")]),
        (BOOKING | {"references": {f"r{n}": "x" for n in range(21)}}, [("references", "too_many")]),
        (BOOKING | {"references": []}, [("references", "invalid")]),
        (BOOKING | {"notes": "x" * 4001}, [("notes", "max_length")]),
        (BOOKING | {"notes": None}, [("notes", "null")]),
    ],
)
def test_invalid_values_are_named(api: Api, body: Any, refused: list[tuple[str, str]]) -> None:
    # orjson refuses integers of more than 64 bits
    raw = json.dumps(body).encode()
    response = api.post(PATH, raw)

    assert response.status_code == 400
    assert field_errors(response) == refused
    assert not Shipment.objects.exists()


def test_another_organisations_driver_and_customer_are_unknown(api: Api, rival: Subject) -> None:
    theirs = factories.organization()
    driver, customer = factories.driver(theirs), factories.customer(theirs)

    by_driver = api.post(PATH, BOOKING | {"driverId": str(driver.pk)})
    by_customer = api.post(PATH, BOOKING | {"customerId": str(customer.pk)})

    assert field_errors(by_driver) == [("driverId", "unknown_driver")]
    assert field_errors(by_customer) == [("customerId", "unknown_customer")]


@pytest.mark.parametrize(
    ("role", "status"), [("admin", 201), ("dispatcher", 201), ("driver", 403), ("customer", 403), ("auditor", 403)]
)
def test_which_roles_book(organization: Organization, role: str, status: int) -> None:
    assert Api(factories.member(organization, role)).post(PATH, BOOKING).status_code == status


def test_an_anonymous_request_is_401() -> None:
    response = Api(None).post(PATH, BOOKING)

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="freight"'
    assert response["Content-Type"] == "application/problem+json"
