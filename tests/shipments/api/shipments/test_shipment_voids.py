"""POST /api/shipments/{reference}/events/{seq}/void."""

from typing import Any

import pytest

from shipments.auth.subjects import Subject
from shipments.models import Organization, Role, Shipment
from tests import factories
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.django_db
REASON = {"reason": "wrong parcel"}


@pytest.fixture
def shipment(organization: Organization, dispatcher: Subject) -> Shipment:
    return factories.booked_shipment(dispatcher, reference="V-1", driver_id=factories.driver(organization).pk)


@pytest.fixture
def path(shipment: Shipment) -> str:
    return f"/api/shipments/{shipment.reference}"


def advance(api: Api, path: str, *states: str) -> Any:
    for state in states:
        response = api.post(f"{path}/transitions", {"to": state})
        assert response.status_code == 200
    return response


def test_a_voided_command_is_answered_with_the_shipment(api: Api, path: str) -> None:
    advance(api, path, "dispatched", "in_transit", "delivered")

    answer = api.post(f"{path}/events/4/void", REASON)

    body = answer.json()
    assert (answer.status_code, body["status"], body["deliveredAt"], body["seq"]) == (200, "in_transit", None, 5)
    assert answer["ETag"] == api.get(path)["ETag"]
    assert api.get(f"{path}/events", {"after": "4"}).json()["events"][0]["data"]["voided"] == {
        "seq": 4, "type": "transitioned", "status": "delivered",
    }  # fmt: skip


def test_voiding_twice_is_200_and_writes_once(api: Api, path: str) -> None:
    advance(api, path, "cancelled")
    api.post(f"{path}/events/2/void", REASON)

    again = api.post(f"{path}/events/2/void", REASON)

    assert (again.status_code, again.json()["seq"], again.json()["status"]) == (200, 3, "booked")


def test_an_idempotency_key_is_honoured(api: Api, path: str) -> None:
    advance(api, path, "cancelled")
    first = api.post(f"{path}/events/2/void", REASON, idempotency_key="k")

    again = api.post(f"{path}/events/2/void", REASON, idempotency_key="k")

    assert again["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()


def test_what_is_neither_a_command_nor_an_observation_is_409(api: Api, path: str) -> None:
    answer = api.post(f"{path}/events/1/void", REASON)

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "not_voidable")
    assert problem["detail"] == (
        "Event 1 is of the type created; only an accepted command (transitioned) or an observation (observed)"
        " can be voided."
    )


@pytest.mark.parametrize("seq", ["9", "0", "99999999999999999999"])
def test_an_event_that_is_not_there_is_404(api: Api, path: str, seq: str) -> None:
    answer = api.post(f"{path}/events/{seq}/void", REASON)

    assert (answer.status_code, answer.json()["detail"]) == (404, "The shipment has no such event.")


@pytest.mark.parametrize(
    ("body", "refused"), [({}, ("reason", "required")), ({"reason": " "}, ("reason", "blank"))]
)
def test_a_void_needs_a_reason(api: Api, path: str, body: dict[str, str], refused: tuple[str, str]) -> None:
    advance(api, path, "cancelled")

    answer = api.post(f"{path}/events/2/void", body)

    assert (answer.status_code, field_errors(answer)) == (400, [refused])


def test_a_stale_version_is_412(api: Api, path: str) -> None:
    tag = api.get(path)["ETag"]
    advance(api, path, "cancelled")

    assert api.post(f"{path}/events/2/void", REASON, if_match=tag).status_code == 412
    assert api.post(f"{path}/events/2/void", REASON, if_match=api.get(path)["ETag"]).status_code == 200


@pytest.mark.parametrize(
    ("role", "status"),
    [("admin", 200), ("dispatcher", 200), ("driver", 404), ("customer", 404), ("auditor", 403)],
)
def test_dispatchers_and_administrators_may(
    api: Api, path: str, organization: Organization, role: str, status: int
) -> None:
    advance(api, path, "cancelled")

    answer = Api(factories.member(organization, role)).post(f"{path}/events/2/void", REASON)

    assert answer.status_code == status


def test_the_driver_of_the_shipment_may_not(api: Api, organization: Organization, dispatcher: Subject) -> None:
    driver = factories.driver(organization)
    factories.booked_shipment(dispatcher, reference="V-2", driver_id=driver.pk)
    mine = Api(factories.member(organization, Role.DRIVER, driver=driver))
    advance(mine, "/api/shipments/V-2", "dispatched")

    assert mine.post("/api/shipments/V-2/events/2/void", REASON).status_code == 403


@pytest.mark.parametrize("ended", ["delivered", "cancelled"])
def test_the_refusal_of_an_ended_shipment_names_the_correction(api: Api, path: str, ended: str) -> None:
    advance(api, path, *(("dispatched", "in_transit") if ended == "delivered" else ()), ended)

    problem = api.post(f"{path}/transitions", {"to": "booked"}).json()

    assert (problem["status"], problem["current"]) == (409, ended)
    assert problem["detail"].endswith(
        f"Where that is wrong, void the event that made it {ended} (POST …/events/{{seq}}/void)."
    )
