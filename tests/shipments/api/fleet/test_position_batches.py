"""POST /api/drivers/positions, and what API keys with the scope `positions:write` may do."""

import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client import REGISTRY

from shipments import representation
from shipments.auth.subjects import Subject
from shipments.models import DriverPosition, Organization, Position
from shipments.services.accounts import api_keys
from shipments.services.validation import InvalidArgument
from tests import factories
from tests.narrowing import present
from tests.shipments.api.client import Api, field_errors

PATH = "/api/drivers/positions"
AMSTERDAM, NEW_YORK = (52.37, 4.89), (40.71, -74.01)
NOW = timezone.now().replace(microsecond=0)


@pytest.fixture
def telematics(dispatcher: Subject) -> Api:
    return Api(key_of(dispatcher, "positions:write"))


def key_of(person: Subject, *scopes: str) -> Subject:
    return replace(person, scopes=frozenset(scopes), key_id=uuid.uuid4(), key_name="telematics")


def position(
    place: tuple[float, float] = AMSTERDAM, at: datetime = NOW, driver_id: uuid.UUID | None = None, **more: Any
) -> dict[str, Any]:
    owner = {"driverId": str(driver_id)} if driver_id else {}
    return owner | {
        "latitude": place[0], "longitude": place[1], "recordedAt": representation.instant(at), **more,
    }  # fmt: skip


def shown(driver_id: uuid.UUID) -> tuple[float, float] | None:
    return DriverPosition.objects.filter(driver_id=driver_id).values_list("latitude", "longitude").first()


def test_an_api_key_reports_the_positions_of_a_fleet(
    organization: Organization, telematics: Api, django_capture_on_commit_callbacks: Any
) -> None:
    one, other = (factories.driver(organization).pk for _ in range(2))
    rivals = factories.driver(factories.organization("Rival")).pk
    ignored = REGISTRY.get_sample_value("positions_ignored_total", {"reason": "null_island"}) or 0.0

    with django_capture_on_commit_callbacks(execute=True):
        response = telematics.post(
            PATH,
            {
                "positions": [
                    position(driver_id=one, speed=20.5),
                    position((52.36, 4.89), NOW - timedelta(minutes=1), driver_id=one),  # in any order
                    position(NEW_YORK, driver_id=other),
                    position(driver_id=one, speed=20.5),  # twice
                    position((0, 0), driver_id=other),
                    position(at=NOW + timedelta(hours=1), driver_id=other),
                    position(at=NOW - timedelta(days=8), driver_id=other),
                    position((91, 0), driver_id=other),
                    position(),
                    position(driver_id=rivals),
                    "nonsense",
                ]
            },
        )

    body = response.json()
    assert response.status_code == 200
    assert {name: body[name] for name in ("accepted", "ignored", "refused")} == {
        "accepted": 4, "ignored": 3, "refused": 4,
    }  # fmt: skip
    assert [each["index"] for each in body["results"]] == list(range(11))
    assert [each["outcome"] for each in body["results"]] == ["accepted"] * 4 + ["ignored"] * 3 + ["refused"] * 4
    assert [each["reason"] for each in body["results"][4:7]] == ["null_island", "future", "too_old"]
    problems = [each["problem"] for each in body["results"][7:]]
    assert [each["status"] for each in problems] == [400, 400, 404, 400]
    assert [(problems[n]["errors"][0]["field"], problems[n]["errors"][0]["code"]) for n in (0, 1)] == [
        ("latitude", "max_value"), ("driverId", "required"),
    ]  # fmt: skip
    assert (shown(one), shown(other), shown(rivals)) == (AMSTERDAM, NEW_YORK, None)
    assert Position.objects.filter(driver_id=one).count() == 2
    assert REGISTRY.get_sample_value("positions_ignored_total", {"reason": "null_island"}) == ignored + 1


def test_the_same_batch_again_has_no_further_effect(organization: Organization, telematics: Api) -> None:
    driver_id = factories.driver(organization).pk
    batch = {"positions": [position(at=NOW - timedelta(seconds=10 * n), driver_id=driver_id) for n in range(1000)]}

    answers = [telematics.post(PATH, batch) for _ in range(2)]

    assert [each.json()["accepted"] for each in answers] == [1000, 1000]
    assert Position.objects.filter(driver_id=driver_id).count() == 1000


def test_a_driver_sends_what_it_has_buffered(organization: Organization) -> None:
    driver = factories.member(organization, "driver")
    other = factories.driver(organization).pk
    batch = [
        position(at=NOW),
        position(NEW_YORK, NOW - timedelta(minutes=1)),
        position((52.36, 4.88), NOW - timedelta(minutes=2)),
        position(driver_id=other),
    ]

    body = Api(driver).post(PATH, {"positions": batch}).json()

    assert [each["outcome"] for each in body["results"]] == ["accepted", "ignored", "accepted", "refused"]
    assert body["results"][1]["reason"] == "impossible_jump"
    assert body["results"][3]["problem"]["status"] == 404
    assert shown(present(driver.driver_id)) == AMSTERDAM


@pytest.mark.parametrize("body", [{}, {"positions": []}, {"positions": {}}, {"positions": [{}] * 1001}])
def test_a_batch_is_a_list_of_1_to_1000(telematics: Api, body: Any) -> None:
    response = telematics.post(PATH, body)

    assert response.status_code == 400
    assert [field for field, _ in field_errors(response)] == ["positions"]


def test_one_position_of_any_driver_by_an_api_key(organization: Organization, telematics: Api) -> None:
    driver_id = factories.driver(organization).pk
    rivals = factories.driver(factories.organization("Rival")).pk
    body = {"latitude": AMSTERDAM[0], "longitude": AMSTERDAM[1]}

    assert telematics.post(f"/api/drivers/{driver_id}/location", body).json()["outcome"] == "latest"
    assert telematics.post(f"/api/drivers/{rivals}/location", body).status_code == 404
    assert shown(driver_id) == AMSTERDAM


@pytest.mark.parametrize(
    ("role", "scopes", "status"),
    [
        ("admin", ("positions:write",), 200),
        ("dispatcher", ("positions:write", "shipments:read"), 200),
        ("driver", ("positions:write",), 200),
        ("driver", ("shipments:write",), 200),  # from before there was the scope
        ("dispatcher", ("shipments:read", "shipments:write"), 403),
        ("driver", ("shipments:read",), 403),
        ("auditor", ("positions:write",), 403),
        ("customer", ("positions:write",), 403),
        ("dispatcher", None, 403),  # a person of the office is no phone
        ("admin", None, 403),
        ("driver", None, 200),
    ],
)
def test_who_may_report_positions(
    organization: Organization, role: str, scopes: tuple[str, ...] | None, status: int
) -> None:
    person = factories.member(organization, role)
    caller = Api(person if scopes is None else key_of(person, *scopes))
    driver_id = None if role == "driver" else factories.driver(organization).pk

    assert caller.post(PATH, {"positions": [position(driver_id=driver_id)]}).status_code == status


def test_a_key_without_the_scope_is_told_which_one_it_lacks(dispatcher: Subject) -> None:
    response = Api(key_of(dispatcher, "shipments:read", "shipments:write")).post(PATH, {"positions": [position()]})

    assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
    assert response.json()["scope"] == "positions:write"


def test_the_scope_alone_opens_nothing_else(organization: Organization, telematics: Api) -> None:
    driver_id = factories.driver(organization).pk

    answers = [
        telematics.get("/api/shipments"),
        telematics.get(f"/api/drivers/{driver_id}"),
        telematics.post("/api/shipments", {"origin": "NLRTM", "destination": "DEHAM"}),
        telematics.post("/api/drivers", {"name": "Another"}),
    ]

    assert [each.status_code for each in answers] == [403] * 4


@pytest.mark.parametrize(("role", "grantable"), [("admin", True), ("dispatcher", True), ("driver", True),
                                                 ("auditor", False), ("customer", False)])  # fmt: skip
def test_who_gives_the_scope_to_a_key(organization: Organization, role: str, grantable: bool) -> None:
    person = factories.member(organization, role)
    if not grantable:
        with pytest.raises(InvalidArgument, match="positions:write"):
            api_keys.create(by=person, now=NOW, name="telematics", scopes=["positions:write"])
        return

    key, _ = api_keys.create(by=person, now=NOW, name="telematics", scopes=["positions:write"])

    assert key.scopes == ["positions:write"]


def test_each_key_has_a_limit_of_its_own(organization: Organization, dispatcher: Subject, settings: Any) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"general": (1, 900), "positions": (2, 900)}
    one, other = (
        api_keys.create(by=dispatcher, now=NOW, name="telematics", scopes=["positions:write"])[1] for _ in range(2)
    )
    batch = {"positions": [position(driver_id=factories.driver(organization).pk)]}

    answers = [
        Client().post(PATH, batch, "application/json", headers={"Authorization": f"Bearer {secret}"})
        for secret in (one, one, one, other)
    ]

    assert [each.status_code for each in answers] == [200, 200, 429, 200]


def test_a_batch_is_done_once_for_each_idempotency_key(organization: Organization, telematics: Api) -> None:
    batch = {"positions": [position(driver_id=factories.driver(organization).pk)]}

    answers = [telematics.post(PATH, batch, Idempotency_Key="batch-1") for _ in range(2)]

    assert answers[0].json() == answers[1].json()
    assert answers[1]["Idempotency-Replayed"] == "true"
