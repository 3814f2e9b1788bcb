"""Observations in bulk are judged as one by one are, and cost two statements each."""

import random
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from shipments.auth.subjects import Subject
from shipments.models import Organization
from tests import factories
from tests.shipments.api.client import Api

pytestmark = pytest.mark.django_db
PATH = "/api/shipments/bulk"
MEANINGS: list[dict[str, str]] = [
    *(
        {"status": state}
        for state in ("at_pickup", "in_transit", "at_facility", "delivered", "returning", "booked")
    ),
    *({"code": code, "codeSystem": "edi214"} for code in ("K1", "K2", "A9", "X6", "Q9", "AG")),
]


def random_observations(seed: int, number: int) -> list[dict[str, Any]]:
    """Return a feed as carriers send it: out of order, repeated, corrected, with flags and estimates."""
    rng = random.Random(seed)
    observations: list[dict[str, Any]] = []
    for _ in range(number):
        if observations and rng.random() < 0.2:
            repeated = dict(rng.choice(observations))
            if rng.random() < 0.5:
                repeated["occurredAt"] = f"2026-03-02T{rng.randrange(14, 20)}:30:00Z"
            observations.append(repeated)
            continue
        observation = {
            "classifier": rng.choice(["ACT", "ACT", "ACT", "EST"]),
            "occurredAt": f"2026-03-02T{rng.randrange(12, 23)}:{rng.randrange(60):02}:00Z",
            "source": rng.choice(["edi", "portal"]),
            **rng.choice(MEANINGS),
        }
        if rng.random() < 0.6:
            observation["sourceEventId"] = str(rng.randrange(20))
        observations.append(observation)
    return observations


@pytest.mark.parametrize("seed", range(4))
def test_a_feed_in_bulk_is_judged_as_one_by_one(api: Api, dispatcher: Subject, seed: int) -> None:
    feed = random_observations(seed, 40)
    for reference in ("SINGLE", "TOGETHER"):
        factories.booked_shipment(dispatcher, reference=reference)

    singly = [api.post("/api/shipments/SINGLE/checkpoints", each) for each in feed]
    bulk = api.post(PATH, {"items": [{"op": "observe", "reference": "TOGETHER", **each} for each in feed]}).json()

    assert [each["status"] for each in bulk["results"]] == [each.status_code for each in singly]
    assert [each["checkpoint"]["outcome"] for each in bulk["results"]] == [
        each.json()["outcome"] for each in singly
    ]
    one, other = (api.get(f"/api/shipments/{reference}").json() for reference in ("SINGLE", "TOGETHER"))
    shown = ("status", "seq", "eta", "deliveredAt")
    assert {name: one[name] for name in shown} == {name: other[name] for name in shown}
    assert [(each["flag"], each["openedAt"]) for each in one["flags"]] == [
        (each["flag"], each["openedAt"]) for each in other["flags"]
    ]


def test_commands_and_refusals_between_observations_are_taken_into_account(
    api: Api, organization: Organization, dispatcher: Subject
) -> None:
    driver = factories.driver(organization)
    factories.booked_shipment(dispatcher, reference="A-1", driver_id=driver.pk)
    observed = {"op": "observe", "reference": "A-1", "classifier": "ACT", "source": "edi"}

    response = api.post(PATH, {"items": [
        {**observed, "status": "in_transit", "occurredAt": "2026-03-02T13:00:00Z", "sourceEventId": "1"},
        {**observed, "status": "delivered", "occurredAt": "2026-03-02T14:00:00Z", "sourceEventId": "1",
         "supersedes": "00000000-0000-7000-8000-000000000000"},
        {**observed, "status": "at_facility", "occurredAt": "2026-03-02T15:00:00Z"},
        {"op": "transition", "reference": "A-1", "to": "out_for_delivery"},
        {**observed, "status": "at_pickup", "occurredAt": "2026-03-02T12:30:00Z"},
    ]}).json()  # fmt: skip

    assert [each["status"] for each in response["results"]] == [201, 404, 201, 200, 201]
    assert response["results"][4]["checkpoint"]["outcome"] == "late"
    assert response["results"][4]["shipment"]["status"] == "out_for_delivery"
    checkpoints = api.get("/api/shipments/A-1/checkpoints").json()["results"]
    assert [each["voidedAt"] for each in checkpoints] == [None] * 3


def test_an_observation_costs_two_statements(api: Api, dispatcher: Subject) -> None:
    for number in range(3):
        factories.booked_shipment(dispatcher, reference=f"N-{number}")
    items = [
        {
            "op": "observe", "reference": f"N-{number % 3}", "classifier": "ACT", "source": "edi",
            "location": "NLRTM", "status": ["in_transit", "at_facility"][number % 2],
            "occurredAt": f"2026-03-02T13:{number:02}:00Z",
        }
        for number in range(60)
    ]  # fmt: skip

    with CaptureQueriesContext(connection) as queries:
        response = api.post(PATH, {"items": items})

    assert response.json()["succeeded"] == 60
    assert len(queries) <= 2 * 60 + 8
