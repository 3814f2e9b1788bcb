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
LEAST = {"origin": "NLRTM", "destination": "DEHAM"}


def test_a_shipment_starts_as_a_draft_with_a_reference_of_its_own(api: Api) -> None:
    response = api.post(PATH, LEAST)

    shown = response.json()
    assert response.status_code == 201
    assert response["Location"] == f"/api/shipments/{shown['reference']}"
    assert response["ETag"].startswith('"1.')
    assert (shown["status"], shown["seq"]) == ("draft", 1)
    assert shown["origin"] == {
        "locode": "NLRTM", "name": "Rotterdam", "country": "NL", "latitude": 51.9167, "longitude": 4.5
    }  # fmt: skip
    assert api.get(response["Location"]).json() == shown


def test_everything_that_can_be_said_is_kept(api: Api, house: Organization) -> None:
    driver, customer = factories.driver(house), factories.customer(house)
    body = {
        "reference": "PO-7", "status": "booked", "origin": {"name": "Yard 7", "country": "NL"},
        "destination": {"name": "Dock", "country": "DE", "latitude": 53.5, "longitude": 10},
        "customerId": str(customer.pk), "driverId": str(driver.pk), "references": {"po": "4500", "bol": "B-1"},
        "pieces": 12, "weightKg": 1200.5, "volumeM3": 3, "plannedPickupAt": "2026-03-01T08:00:00+01:00",
        "plannedDeliveryAt": "2026-03-02T08:00:00Z", "eta": None, "notes": "Ring twice",
    }  # fmt: skip

    shown = api.post(PATH, body).json()

    kept = ("reference", "status", "pieces", "weightKg", "volumeM3", "notes")
    assert [shown[name] for name in kept] == [body[name] for name in kept]
    assert shown["plannedPickupAt"] == "2026-03-01T07:00:00Z"
    assert shown["driver"] == {"id": str(driver.pk), "name": driver.name, "phone": driver.phone}
    assert shown["customer"] == {"id": str(customer.pk), "name": customer.name}
    assert shown["references"] == {"po": "4500", "bol": "B-1"}
    assert shown["destination"]["longitude"] == 10


def test_a_place_as_it_is_shown_can_be_sent_back(api: Api) -> None:
    shown = api.post(PATH, LEAST).json()

    again = api.post(PATH, {"origin": shown["origin"], "destination": shown["destination"]})

    assert again.json()["origin"] == shown["origin"]


def test_it_writes_one_event_and_one_audit_entry(api: Api, dispatcher: Subject) -> None:
    shown = api.post(PATH, LEAST, X_Request_ID="abc-123").json()

    assert ShipmentEvent.objects.filter(shipment_id=shown["id"]).values_list("seq", "type").get() == (1, "created")
    entry = AuditEntry.objects.get(entity="shipment", entity_id=shown["reference"])
    assert (entry.action, entry.actor_id) == ("create", dispatcher.user_id)


def test_a_reference_is_taken_whatever_its_case(api: Api) -> None:
    api.post(PATH, LEAST | {"reference": "po-1"})

    response = api.post(PATH, LEAST | {"reference": "PO-1"})

    assert response.status_code == 409
    assert response["Content-Type"] == "application/problem+json"


def test_another_organisation_may_use_the_same_reference(api: Api, rival: Subject) -> None:
    api.post(PATH, LEAST | {"reference": "PO-1"})

    assert Api(rival).post(PATH, LEAST | {"reference": "PO-1"}).status_code == 201


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({}, [("origin", "required"), ("destination", "required")]),
        (
            LEAST | {"organization": "x", "seq": 9, "createdBy": "me", "id": "1"},
            [
                ("createdBy", "unknown_field"),
                ("id", "unknown_field"),
                ("organization", "unknown_field"),
                ("seq", "unknown_field"),
            ],
        ),
        (LEAST | {"origin": "Rotterdam"}, [("origin", "invalid")]),
        (LEAST | {"origin": "XXXXX"}, [("origin", "unknown_place")]),
        (LEAST | {"origin": 7}, [("origin", "invalid")]),
        (LEAST | {"origin": None}, [("origin", "null")]),
        (LEAST | {"origin": {"name": "Yard"}}, [("origin", "country")]),
        (
            LEAST | {"origin": {"name": "Yard", "country": "NL", "latitude": 91, "longitude": 0}},
            [("origin", "degrees")],
        ),
        (LEAST | {"origin": {"name": "Yard", "country": "NL", "latitude": 9}}, [("origin", "degrees")]),
        (LEAST | {"origin": {"name": "Yard", "country": "NL", "x": 9}}, [("origin", "unknown_field")]),
        (LEAST | {"status": "delivered"}, [("status", "invalid_choice")]),
        (LEAST | {"status": ["draft"]}, [("status", "invalid_choice")]),
        (LEAST | {"reference": "bulk"}, [("reference", "invalid")]),
        (LEAST | {"reference": "a/b"}, [("reference", "invalid")]),
        (LEAST | {"reference": "x" * 65}, [("reference", "max_length")]),
        (LEAST | {"reference": 5}, [("reference", "invalid")]),
        (LEAST | {"pieces": -1}, [("pieces", "min_value")]),
        (LEAST | {"pieces": 10**400}, [("pieces", "max_value")]),
        (LEAST | {"pieces": "5"}, [("pieces", "invalid")]),
        (LEAST | {"pieces": True}, [("pieces", "invalid")]),
        (LEAST | {"pieces": 1.5}, [("pieces", "invalid")]),
        (LEAST | {"weightKg": 1e30}, [("weightKg", "max_digits")]),
        (LEAST | {"weightKg": 10**400}, [("weightKg", "max_digits")]),
        (LEAST | {"weightKg": -1}, [("weightKg", "min_value")]),
        (LEAST | {"weightKg": "heavy"}, [("weightKg", "invalid")]),
        (LEAST | {"weightKg": 1.23456}, [("weightKg", "max_decimal_places")]),
        (LEAST | {"plannedPickupAt": "tomorrow"}, [("plannedPickupAt", "invalid")]),
        (LEAST | {"plannedPickupAt": "0001-01-01T00:00:00+14:00"}, [("plannedPickupAt", "invalid")]),
        (LEAST | {"plannedPickupAt": 5}, [("plannedPickupAt", "invalid")]),
        (
            LEAST | {"plannedPickupAt": "2026-03-02T00:00:00Z", "plannedDeliveryAt": "2026-03-01T00:00:00Z"},
            [("plannedDeliveryAt", "invalid")],
        ),
        (LEAST | {"customerId": "7"}, [("customerId", "invalid")]),
        (LEAST | {"driverId": "01a20a0d-bfad-7703-9343-e017bcbeafe3"}, [("driverId", "unknown_driver")]),
        (LEAST | {"references": {"po": 5}}, [("references", "value")]),
        (LEAST | {"references": {"p o": "5"}}, [("references", "name")]),
        (LEAST | {"references": {"po": "x" * 65}}, [("references", "value")]),
        (LEAST | {"references": {f"r{n}": "x" for n in range(21)}}, [("references", "too_many")]),
        (LEAST | {"references": []}, [("references", "invalid")]),
        (LEAST | {"notes": "x" * 4001}, [("notes", "max_length")]),
        (LEAST | {"notes": None}, [("notes", "null")]),
    ],
)
def test_what_cannot_be_used_is_named(api: Api, body: Any, refused: list[tuple[str, str]]) -> None:
    # orjson writes no whole number beyond 64 bits
    raw = json.dumps(body).encode()
    response = api.post(PATH, raw)

    assert response.status_code == 400
    assert field_errors(response) == refused
    assert not Shipment.objects.exists()


def test_another_organisations_driver_and_customer_are_unknown(api: Api, rival: Subject) -> None:
    theirs = factories.organization()
    driver, customer = factories.driver(theirs), factories.customer(theirs)

    by_driver = api.post(PATH, LEAST | {"driverId": str(driver.pk)})
    by_customer = api.post(PATH, LEAST | {"customerId": str(customer.pk)})

    assert field_errors(by_driver) == [("driverId", "unknown_driver")]
    assert field_errors(by_customer) == [("customerId", "unknown_customer")]


@pytest.mark.parametrize(
    ("role", "status"), [("admin", 201), ("dispatcher", 201), ("driver", 403), ("customer", 403), ("auditor", 403)]
)
def test_who_may_book(house: Organization, role: str, status: int) -> None:
    assert Api(factories.member(house, role)).post(PATH, LEAST).status_code == status


def test_a_stranger_is_asked_who_it_is() -> None:
    response = Api(None).post(PATH, LEAST)

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="freight"'
    assert response["Content-Type"] == "application/problem+json"
