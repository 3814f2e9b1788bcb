"""/api/drivers/{id}/device-keys."""

from dataclasses import replace

import pytest

from shipments.auth import bearers
from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, DeviceKey, Driver, Organization
from shipments.services.fleet import device_keys
from tests import factories
from tests.factories import NOW
from tests.narrowing import present
from tests.shipments.api.client import Api, field_errors


@pytest.fixture
def driver(organization: Organization) -> Subject:
    return factories.member(organization, "driver")


@pytest.fixture
def path(driver: Subject) -> str:
    return f"/api/drivers/{driver.driver_id}/device-keys"


@pytest.mark.parametrize(
    ("role", "list_status", "make_status"), [("admin", 200, 201), ("dispatcher", 200, 201), ("auditor", 403, 403)]
)
def test_which_roles_list_and_make_keys(
    organization: Organization, path: str, role: str, list_status: int, make_status: int
) -> None:
    member = Api(factories.member(organization, role))

    assert member.get(path).status_code == list_status
    assert member.post(path, {"name": "Phone"}).status_code == make_status


def test_a_driver_makes_and_revokes_only_its_own_keys(
    organization: Organization, driver: Subject, path: str
) -> None:
    own, other = Api(driver), Api(factories.member(organization, "driver"))

    key = own.post(path, {"name": "Phone"}).json()

    assert other.get(path).status_code == 404
    assert other.delete(f"{path}/{key['id']}").status_code == 404
    assert bearers.authenticate_device(key["secret"], now=NOW) is not None
    assert [own.delete(f"{path}/{key['id']}").status_code for _ in range(2)] == [204, 204]
    assert bearers.authenticate_device(key["secret"], now=NOW) is None


def test_a_secret_is_shown_once(api: Api, path: str) -> None:
    response = api.post(path, {"name": " Phone "})

    assert response["Cache-Control"] == "no-store"
    secret = response.json().pop("secret")
    assert len(secret.removeprefix("frd_")) == 22  # 128 bits
    assert api.get(path).json()["results"] == [
        {name: value for name, value in response.json().items() if name != "secret"}
    ]
    assert secret not in str(list(DeviceKey.objects.values()))
    assert secret not in str(list(AuditEntry.objects.filter(entity="device_key").values()))


def test_an_api_key_needs_the_scope_of_positions_to_make_device_keys(organization: Organization, path: str) -> None:
    person = factories.member(organization, "admin")
    other = Api(replace(person, scopes=frozenset({"shipments:read", "shipments:write"}), key_id=person.user_id))
    telematics = Api(replace(person, scopes=frozenset({"positions:write"}), key_id=person.user_id))

    refused = [other.get(path), other.post(path, {"name": "Phone"})]
    made = telematics.post(path, {"name": "Phone"})

    assert [each.status_code for each in refused] == [403, 403]
    assert made.status_code == 201
    assert bearers.authenticate_device(made.json()["secret"], now=NOW) is not None
    assert telematics.delete(f"{path}/{made.json()['id']}").status_code == 204
    assert bearers.authenticate_device(made.json()["secret"], now=NOW) is None


def test_an_api_key_makes_no_device_key_of_a_rivals_driver(path: str) -> None:
    rival = factories.member(factories.organization("Rival"), "admin")
    telematics = Api(replace(rival, scopes=frozenset({"positions:write"}), key_id=rival.user_id))

    assert telematics.post(path, {"name": "Phone"}).status_code == 404


def test_a_device_key_is_no_bearer_token(api: Api, path: str) -> None:
    secret = api.post(path, {"name": "Phone"}).json()["secret"]

    assert bearers.authenticate(secret, now=NOW) is None
    assert Api(None).get("/api/shipments", Authorization=f"Bearer {secret}").status_code == 401


def test_keys_of_an_inactive_driver_are_refused(api: Api, driver: Subject, path: str) -> None:
    secret = api.post(path, {"name": "Phone"}).json()["secret"]

    Driver.objects.filter(pk=present(driver.driver_id)).update(status="inactive")

    assert bearers.authenticate_device(secret, now=NOW) is None
    assert field_errors(api.post(path, {"name": "Phone"})) == [("name", "inactive")]


def test_the_number_is_bounded(
    dispatcher: Subject, driver: Subject, path: str, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_keys, "MAX_KEYS", 1)

    answers = [api.post(path, {"name": "Phone"}) for _ in range(2)]

    assert [each.status_code for each in answers] == [201, 400]
