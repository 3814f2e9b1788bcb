"""/api/drivers/{id}/location and the keys of a driver's phones."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from shipments import representation
from shipments.auth import bearers, subjects
from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, DeviceKey, Driver, Organization
from shipments.services.fleet import device_keys
from tests import factories
from tests.factories import NOW
from tests.shipments.api.client import Api, field_errors

AMSTERDAM = {"latitude": 52.37, "longitude": 4.89}


@pytest.fixture
def driver(house: Organization) -> Subject:
    return factories.member(house, "driver")


@pytest.fixture
def path(driver: Subject) -> str:
    return f"/api/drivers/{driver.driver_id}/location"


@pytest.fixture
def keys(driver: Subject) -> str:
    return f"/api/drivers/{driver.driver_id}/device-keys"


def test_a_driver_reports_its_position_and_is_seen_there(
    api: Api, dispatcher: Subject, driver: Subject, path: str
) -> None:
    reference = factories.booked_shipment(dispatcher, driver_id=driver.driver_id).reference
    before = api.get(f"/api/shipments/{reference}")["ETag"]
    at = representation.instant(timezone.now() - timedelta(seconds=5))

    made = Api(driver).post(path, {**AMSTERDAM, "accuracy": 8, "speed": 22.5, "bearing": 180, "recordedAt": at})

    shown = {**AMSTERDAM, "recordedAt": at}
    assert made.status_code == 201
    assert made.json() == {
        "driverId": str(driver.driver_id), **shown, "accuracy": 8.0, "speed": 22.5, "bearing": 180.0,
        "outcome": "latest",
    }  # fmt: skip
    after = api.get(f"/api/shipments/{reference}")
    assert after.json()["position"] == shown
    assert after["ETag"] != before
    assert after["ETag"].partition(".")[0] == before.partition(".")[0]
    assert api.get("/api/shipments").json()["results"][0]["position"] == shown
    assert api.get(f"/api/drivers/{driver.driver_id}").json()["position"] == shown


def test_the_same_again_and_an_older_one_change_nothing_that_is_shown(driver: Subject, path: str) -> None:
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
        ({**AMSTERDAM, "recordedAt": "2199-01-01T00:00:00Z"}, [("recordedAt", "future")]),
        ({**AMSTERDAM, "recordedAt": "2020-01-01T00:00:00Z"}, [("recordedAt", "too_old")]),
        ({**AMSTERDAM, "driverId": "x"}, [("driverId", "unknown_field")]),
    ],
)
def test_what_cannot_be_used_is_named(driver: Subject, path: str, body: Any, refused: Any) -> None:
    response = Api(driver).post(path, body)

    assert response.status_code == 400
    assert sorted(field_errors(response)) == refused


@pytest.mark.parametrize(
    "text", [b'{"latitude":NaN,"longitude":1}', b'{"latitude":1e999,"longitude":1}', b"{", b"[]"]
)
def test_what_is_no_json_object_is_refused(driver: Subject, path: str, text: bytes) -> None:
    assert Api(driver).post(path, text).status_code == 400


def test_a_jump_is_refused(driver: Subject, path: str) -> None:
    Api(driver).post(path, AMSTERDAM)

    response = Api(driver).post(path, {"latitude": 40.71, "longitude": -74.01})

    assert response.status_code == 400
    assert field_errors(response) == [("latitude", "impossible_jump")]


@pytest.mark.parametrize(
    ("role", "status"), [("admin", 403), ("dispatcher", 403), ("auditor", 403), ("driver", 404), ("customer", 404)]
)
def test_nobody_reports_for_another(house: Organization, path: str, role: str, status: int) -> None:
    other = Api(factories.member(house, role))

    assert [other.post(path, body).status_code for body in (AMSTERDAM, b"{")] == [status] * 2


def test_a_driver_who_has_left_is_not_followed(driver: Subject, path: str) -> None:
    Driver.objects.filter(pk=driver.driver_id).update(status="inactive")

    assert Api(driver).post(path, AMSTERDAM).status_code == 403


# -- keys of phones ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "listed", "made"), [("admin", 200, 201), ("dispatcher", 200, 201), ("auditor", 403, 403)]
)
def test_who_makes_keys(house: Organization, keys: str, role: str, listed: int, made: int) -> None:
    member = Api(factories.member(house, role))

    assert member.get(keys).status_code == listed
    assert member.post(keys, {"name": "Phone"}).status_code == made


def test_a_driver_makes_and_revokes_its_own_and_no_other(house: Organization, driver: Subject, keys: str) -> None:
    own, other = Api(driver), Api(factories.member(house, "driver"))

    made = own.post(keys, {"name": "Phone"}).json()

    assert other.get(keys).status_code == 404
    assert other.delete(f"{keys}/{made['id']}").status_code == 404
    assert bearers.authenticate_device(made["secret"], now=NOW) is not None
    assert [own.delete(f"{keys}/{made['id']}").status_code for _ in range(2)] == [204, 204]
    assert bearers.authenticate_device(made["secret"], now=NOW) is None


def test_a_secret_is_shown_once(api: Api, keys: str) -> None:
    made = api.post(keys, {"name": " Phone "})

    assert made["Cache-Control"] == "no-store"
    secret = made.json().pop("secret")
    assert len(secret.removeprefix("frd_")) == 22  # 128 bits
    assert api.get(keys).json()["results"] == [
        {name: value for name, value in made.json().items() if name != "secret"}
    ]
    assert secret not in str(list(DeviceKey.objects.values()))
    assert secret not in str(list(AuditEntry.objects.filter(entity="device_key").values()))


def test_keys_are_not_made_by_keys(house: Organization, driver: Subject, keys: str) -> None:
    by_key = Subject(
        organization_id=house.pk, role="dispatcher", user_id=driver.user_id, scopes=frozenset({"shipments:write"})
    )

    with pytest.raises(subjects.Forbidden):
        device_keys.create(by=by_key, now=NOW, driver_id=driver.driver_id, name="x")  # type: ignore[arg-type]


def test_a_phones_key_is_no_token(api: Api, keys: str) -> None:
    secret = api.post(keys, {"name": "Phone"}).json()["secret"]

    assert bearers.authenticate(secret, now=NOW) is None
    assert Api(None).get("/api/shipments", Authorization=f"Bearer {secret}").status_code == 401


def test_keys_of_a_driver_who_has_left_are_dead(api: Api, driver: Subject, keys: str) -> None:
    secret = api.post(keys, {"name": "Phone"}).json()["secret"]

    Driver.objects.filter(pk=driver.driver_id).update(status="inactive")

    assert bearers.authenticate_device(secret, now=NOW) is None
    assert field_errors(api.post(keys, {"name": "Phone"})) == [("name", "inactive")]


def test_there_is_a_bound(
    dispatcher: Subject, driver: Subject, keys: str, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_keys, "MAX_KEYS", 1)

    answers = [api.post(keys, {"name": "Phone"}) for _ in range(2)]

    assert [each.status_code for each in answers] == [201, 400]
