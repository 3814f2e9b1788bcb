"""GET /api/events."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shipments import services
from shipments.auth.subjects import Subject
from shipments.models import FeedEntry, Organization, UnnumberedEvent
from shipments.selectors import feed
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
    ("query", "reason"),
    [
        ({"after": 1, "epoch": "7711.00000001"}, "epoch"),
        ({"epoch": "x", "wait": 25}, "epoch"),
        ({"after": 3}, "ahead"),
        ({"after": 3, "epoch": "x"}, "epoch"),
        ({"after": 3, "type": "voided"}, "ahead"),
    ],
)
def test_another_epoch_or_a_later_position_is_not_recovered(
    api: Api, dispatcher: Subject, query: dict[str, Any], reason: str
) -> None:
    for number in range(2):
        factories.booked_shipment(dispatcher, reference=f"F-{number}")
    number_all_events()

    body = api.get("/api/events", query).json()

    assert (body["recovered"], body["reason"], body["events"], body["seq"], body["nextAfter"]) == (
        False, reason, [], 2, 2,
    )  # fmt: skip


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


@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("auditor", 200), ("driver", 404), ("customer", 200)])
def test_staff_auditors_and_customers_read_the_feed(organization: Organization, role: str, status: int) -> None:
    assert Api(factories.member(organization, role)).get("/api/events").status_code == status


@pytest.mark.parametrize(
    "query",
    [
        {"after": "-1"},
        {"after": "x"},
        {"limit": "1001"},
        {"wait": "26"},
        {"seq": "1"},
        {"type": "sung"},
        {"since": "yesterday"},
        {"reference": ""},
    ],
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


# -- filters ------------------------------------------------------------------------------------------------------


def positions(body: Any) -> list[int]:
    return [event["position"] for event in body["events"]]


@pytest.fixture
def history(dispatcher: Subject) -> None:
    """Write eight events: F-0 is booked, flagged at hours 0 to 4, F-1 is booked and cancelled."""
    factories.booked_shipment(dispatcher, reference="F-0")
    for hour in range(5):
        flag = ("damaged", "refused", "delayed", "on_hold", "customs_hold")[hour]
        services.open_flag(by=dispatcher, now=NOW + timedelta(hours=hour), reference="F-0", flag=flag)
    factories.booked_shipment(dispatcher, reference="F-1", now=NOW + timedelta(hours=5))
    services.advance(by=dispatcher, now=NOW + timedelta(hours=6), reference="F-1", to="cancelled")
    number_all_events()


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"type": "created"}, [1, 7]),
        ({"type": "transitioned,created"}, [1, 7, 8]),
        ({"reference": "f-1"}, [7, 8]),
        ({"reference": "F-1", "type": "created"}, [7]),
        ({"since": "2026-03-02T16:00:00Z"}, [6, 7, 8]),
        ({"since": "2026-03-02T16:00:01Z", "type": "created"}, [7]),
        ({"since": "2020-01-01T00:00:00Z"}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"type": "created", "after": 1}, [7]),
        ({"type": "voided"}, []),
        ({"since": "2027-01-01T00:00:00Z"}, []),
    ],
)
def test_a_filter_leaves_events_out_and_keeps_positions(
    api: Api, query: dict[str, Any], expected: list[int]
) -> None:
    body = api.get("/api/events", query).json()

    assert (positions(body), body["seq"], body["nextAfter"], body["recovered"]) == (expected, 8, 8, True)


@pytest.mark.usefixtures("history")
def test_a_full_page_goes_on_from_its_last_event(api: Api) -> None:
    pages, after = [], 0
    for _ in range(3):
        body = api.get("/api/events", {"type": "flagged", "limit": 2, "after": after}).json()
        pages.append((positions(body), body["nextAfter"]))
        after = body["nextAfter"]

    assert pages == [([2, 3], 3), ([4, 5], 5), ([6], 8)]


@pytest.mark.usefixtures("history")
def test_a_read_that_finds_nothing_for_long_says_how_far_it_came(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "STRETCH", 3)
    monkeypatch.setattr(feed, "SECONDS", 0.0)
    seen, after = [], 0
    for _ in range(3):
        body = api.get("/api/events", {"type": "transitioned", "after": after, "wait": 25}).json()
        seen.append((positions(body), body["seq"], body["nextAfter"]))
        after = body["nextAfter"]

    assert seen == [([], 3, 3), ([], 6, 6), ([8], 8, 8)]


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("stretch", [1, 3, 100])
def test_stretches_are_put_together(api: Api, monkeypatch: pytest.MonkeyPatch, stretch: int) -> None:
    monkeypatch.setattr(feed, "STRETCH", stretch)

    body = api.get("/api/events", {"type": "created,transitioned", "limit": 2}).json()

    assert (positions(body), body["nextAfter"]) == ([1, 7], 7)


@pytest.mark.parametrize("reference", ["NONE", "R-1"])
def test_a_shipment_that_cannot_be_seen_is_404(api: Api, rival: Subject, reference: str) -> None:
    factories.booked_shipment(rival, reference="R-1")

    assert api.get("/api/events", {"reference": reference}).status_code == 404


# -- customers ----------------------------------------------------------------------------------------------------


def test_a_customer_reads_the_events_of_its_shipments_with_the_same_positions(
    api: Api, organization: Organization, dispatcher: Subject
) -> None:
    customer = factories.member(organization, "customer")
    other = factories.member(organization, "customer")
    factories.booked_shipment(dispatcher, reference="THEIRS", customer_id=other.customer_id)
    factories.booked_shipment(dispatcher, reference="MINE", customer_id=customer.customer_id)
    services.open_flag(by=dispatcher, now=NOW, reference="MINE", flag="damaged", reason="our fault")
    factories.booked_shipment(dispatcher, reference="NOBODYS")
    number_all_events()

    body = Api(customer).get("/api/events").json()

    assert [(each["position"], each["shipmentId"]) for each in body["events"]] == [(2, "MINE"), (3, "MINE")]
    assert (body["seq"], body["nextAfter"]) == (4, 4)
    assert body["events"][1]["actor"] == {"role": "dispatcher", "id": None, "key": None, "requestId": None}
    assert body["events"][1]["data"]["changes"]["flags"][0]["reason"] == ""
    assert "our fault" in str(api.get("/api/events").json())
    assert Api(customer).get("/api/events", {"reference": "THEIRS"}).status_code == 404


def test_what_is_seen_is_decided_now(organization: Organization, dispatcher: Subject) -> None:
    before, after = factories.member(organization, "customer"), factories.member(organization, "customer")
    factories.booked_shipment(dispatcher, reference="M-1", customer_id=before.customer_id)
    services.amend(by=dispatcher, now=NOW, reference="M-1", changes={"customer_id": after.customer_id})
    number_all_events()

    assert positions(Api(before).get("/api/events").json()) == []
    events = Api(after).get("/api/events").json()["events"]
    assert [each["position"] for each in events] == [1, 2]
    assert events[0]["data"]["changes"]["customer"] is None


def test_a_key_of_a_customer_needs_the_scope(organization: Organization) -> None:
    customer = factories.member(organization, "customer")

    assert Api(replace(customer, scopes=frozenset({"exports:read"}))).get("/api/events").status_code == 403
    assert Api(replace(customer, scopes=frozenset({"shipments:read"}))).get("/api/events").status_code == 200
