"""POST /api/drivers/{id}/location."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from shipments import representation
from shipments.auth.subjects import Subject
from shipments.models import Driver, Organization
from tests import factories
from tests.narrowing import present
from tests.shipments.api.client import Api, field_errors

AMSTERDAM = {"latitude": 52.37, "longitude": 4.89}


@pytest.fixture
def driver(organization: Organization) -> Subject:
    return factories.member(organization, "driver")


@pytest.fixture
def path(driver: Subject) -> str:
    return f"/api/drivers/{driver.driver_id}/location"


def test_a_reported_position_is_shown_with_shipment_and_driver(
    api: Api, dispatcher: Subject, driver: Subject, path: str
) -> None:
    reference = factories.booked_shipment(dispatcher, driver_id=driver.driver_id).reference
    before = api.get(f"/api/shipments/{reference}")["ETag"]
    at = representation.instant(timezone.now() - timedelta(seconds=5))

    response = Api(driver).post(path, {**AMSTERDAM, "accuracy": 8, "speed": 22.5, "bearing": 180, "recordedAt": at})

    position = {**AMSTERDAM, "recordedAt": at}
    assert response.status_code == 201
    assert response.json() == {
        "driverId": str(driver.driver_id), **position, "accuracy": 8.0, "speed": 22.5, "bearing": 180.0,
        "outcome": "latest", "reason": None,
    }  # fmt: skip
    after = api.get(f"/api/shipments/{reference}")
    assert after.json()["position"] == position
    assert after["ETag"] != before
    assert after["ETag"].partition(".")[0] == before.partition(".")[0]
    assert api.get("/api/shipments").json()["results"][0]["position"] == position
    assert api.get(f"/api/drivers/{driver.driver_id}").json()["position"] == position


def test_a_repeated_position_is_a_duplicate_and_an_older_one_is_late(driver: Subject, path: str) -> None:
    now = timezone.now()
    body = {**AMSTERDAM, "recordedAt": representation.instant(now)}
    older = {**AMSTERDAM, "recordedAt": representation.instant(now - timedelta(minutes=5))}

    answers = [Api(driver).post(path, each) for each in (body, body, older)]

    assert [(each.status_code, each.json()["outcome"]) for each in answers] == [
        (201, "latest"), (200, "duplicate"), (201, "late"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({}, [("latitude", "required"), ("longitude", "required")]),
        ({**AMSTERDAM, "latitude": 91}, [("latitude", "max_value")]),
        ({**AMSTERDAM, "longitude": -180.5}, [("longitude", "min_value")]),
        ({**AMSTERDAM, "latitude": "52.37"}, [("latitude", "invalid")]),
        ({**AMSTERDAM, "latitude": True}, [("latitude", "invalid")]),
        ({**AMSTERDAM, "accuracy": -1}, [("accuracy", "min_value")]),
        ({**AMSTERDAM, "accuracy": 1e9}, [("accuracy", "max_value")]),
        ({**AMSTERDAM, "recordedAt": "yesterday"}, [("recordedAt", "invalid")]),
        ({**AMSTERDAM, "driverId": "x"}, [("driverId", "unknown_field")]),
    ],
)
def test_invalid_values_are_named(driver: Subject, path: str, body: Any, refused: Any) -> None:
    response = Api(driver).post(path, body)

    assert response.status_code == 400
    assert sorted(field_errors(response)) == refused


@pytest.mark.parametrize(
    "text", [b'{"latitude":NaN,"longitude":1}', b'{"latitude":1e999,"longitude":1}', b"{", b"[]"]
)
def test_a_body_that_is_no_json_object_is_400(driver: Subject, path: str, text: bytes) -> None:
    assert Api(driver).post(path, text).status_code == 400


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"latitude": 40.71, "longitude": -74.01}, "impossible_jump"),
        ({"latitude": 0, "longitude": 0.0}, "null_island"),
        ({**AMSTERDAM, "recordedAt": "2199-01-01T00:00:00Z"}, "future"),
        ({**AMSTERDAM, "recordedAt": "2020-01-01T00:00:00Z"}, "too_old"),
    ],
)
def test_what_no_retry_would_mend_is_acknowledged(
    api: Api, driver: Subject, path: str, body: dict[str, Any], reason: str
) -> None:
    """An app that buffers positions would send it for ever, and never what comes after it."""
    Api(driver).post(path, AMSTERDAM)

    response = Api(driver).post(path, body)

    assert response.status_code == 200
    assert (response.json()["outcome"], response.json()["reason"]) == ("ignored", reason)
    shown = api.get(f"/api/drivers/{driver.driver_id}").json()["position"]
    assert {name: shown[name] for name in AMSTERDAM} == AMSTERDAM


def test_positions_are_not_counted_by_the_general_limit(driver: Subject, path: str, settings: Any) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"general": (1, 900)}

    answers = [Api(driver).post(path, AMSTERDAM) for _ in range(3)]

    assert [each.status_code for each in answers] == [201, 201, 201]


@pytest.mark.parametrize(
    ("role", "status"), [("admin", 403), ("dispatcher", 403), ("auditor", 403), ("driver", 404), ("customer", 404)]
)
def test_nobody_can_report_for_another_driver(
    organization: Organization, path: str, role: str, status: int
) -> None:
    other = Api(factories.member(organization, role))

    assert [other.post(path, body).status_code for body in (AMSTERDAM, b"{")] == [status] * 2


def test_an_inactive_driver_cannot_report(driver: Subject, path: str) -> None:
    Driver.objects.filter(pk=present(driver.driver_id)).update(status="inactive")

    assert Api(driver).post(path, AMSTERDAM).status_code == 403
