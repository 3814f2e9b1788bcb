"""GET /api/events."""

from typing import Any

import pytest

from shipments import services
from shipments.auth.subjects import Subject
from shipments.models import FeedEntry, Organization, UnnumberedEvent
from shipments.services.feed import sequencer
from tests import factories
from tests.factories import NOW
from tests.shipments.api.client import Api

pytestmark = pytest.mark.django_db


def number_all_events() -> None:
    while UnnumberedEvent.objects.exists():
        sequencer.number_batch()


def test_the_feed_pages_through_all_events_without_a_gap(api: Api, dispatcher: Subject, rival: Subject) -> None:
    for number in range(3):
        factories.booked_shipment(dispatcher, reference=f"F-{number}")
        factories.booked_shipment(rival, reference=f"F-{number}")
    services.advance(by=dispatcher, now=NOW, reference="F-1", to="dispatched")
    number_all_events()

    positions, after = [], 0
    while events := api.get("/api/events", {"after": after, "limit": 2}).json()["events"]:
        positions += [(event["position"], event["shipmentId"], event["seq"]) for event in events]
        after = positions[-1][0]

    assert positions == [(1, "F-0", 1), (2, "F-1", 1), (3, "F-2", 1), (4, "F-1", 2)]
    assert api.get("/api/events").json()["seq"] == 4


def test_a_feed_entry_is_the_shipments_event_with_its_position(api: Api, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher, reference="F-1")
    number_all_events()

    (entry,) = api.get("/api/events").json()["events"]
    (event,) = api.get("/api/shipments/F-1/events").json()["events"]

    assert entry == event | {"shipmentId": "F-1", "position": 1}


@pytest.mark.parametrize(
    "query", [{"after": 1, "epoch": "7711.00000001"}, {"after": 3}, {"epoch": "x", "wait": 25}]
)
def test_another_epoch_or_a_later_position_is_not_recovered(
    api: Api, dispatcher: Subject, query: dict[str, Any]
) -> None:
    for number in range(2):
        factories.booked_shipment(dispatcher, reference=f"F-{number}")
    number_all_events()

    body = api.get("/api/events", query).json()

    assert (body["recovered"], body["reason"], body["events"], body["seq"]) == (False, "epoch", [], 2)


def test_a_cursor_of_this_epoch_is_resumed(api: Api, dispatcher: Subject) -> None:
    for number in range(2):
        factories.booked_shipment(dispatcher, reference=f"F-{number}")
    number_all_events()
    epoch = api.get("/api/events").json()["epoch"]

    body = api.get("/api/events", {"after": 1, "epoch": epoch}).json()

    assert (body["recovered"], [event["position"] for event in body["events"]]) == (True, [2])


def test_events_without_a_position_are_not_in_the_feed(api: Api, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher)

    assert api.get("/api/events").json()["events"] == []
    assert FeedEntry.objects.filter(organization=dispatcher.organization_id).count() == 0


@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("auditor", 200), ("driver", 404), ("customer", 404)])
def test_only_members_who_see_every_shipment_read_the_feed(
    organization: Organization, role: str, status: int
) -> None:
    assert Api(factories.member(organization, role)).get("/api/events").status_code == status


@pytest.mark.parametrize(
    "query", [{"after": "-1"}, {"after": "x"}, {"limit": "1001"}, {"wait": "26"}, {"seq": "1"}]
)
def test_invalid_parameters_are_400(api: Api, query: dict[str, str]) -> None:
    assert api.get("/api/events", query).status_code == 400


def test_a_changed_driver_or_customer_is_in_the_feed(api: Api) -> None:
    driver = api.post("/api/drivers", {"name": "Ana", "phone": "+31 6 5555"}).json()
    customer = api.post("/api/customers", {"name": "Old name"}).json()
    api.patch(f"/api/customers/{customer['id']}", {"name": "New name"})
    api.patch(f"/api/drivers/{driver['id']}", {"name": "Ana"})
    number_all_events()

    events = api.get("/api/events").json()["events"]

    assert [(event["type"], event["shipmentId"], event["seq"], event["position"]) for event in events] == [
        ("driver_changed", None, 0, 1),
        ("customer_changed", None, 0, 2),
        ("customer_changed", None, 0, 3),
    ]
    assert events[2]["data"]["changes"] == {"customer": {"id": customer["id"], "name": "New name"}}
    assert "31 6 5555" not in str(events[0])
