"""GET /api/events and GET /api/audit-log."""

import pytest

from shipments import services
from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, FeedEntry, Organization, UnnumberedEvent
from shipments.services.feed import sequencer
from tests import factories
from tests.factories import NOW
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.django_db


def number_all() -> None:
    while UnnumberedEvent.objects.exists():
        sequencer.number_batch()


def test_the_feed_pages_gaplessly_through_everything(api: Api, dispatcher: Subject, rival: Subject) -> None:
    for number in range(3):
        factories.booked_shipment(dispatcher, reference=f"F-{number}")
        factories.booked_shipment(rival, reference=f"F-{number}")
    services.advance(by=dispatcher, now=NOW, reference="F-1", to="dispatched")
    number_all()

    seen, after = [], 0
    while events := api.get("/api/events", {"after": after, "limit": 2}).json()["events"]:
        seen += [(event["position"], event["shipmentId"], event["seq"]) for event in events]
        after = seen[-1][0]

    assert seen == [(1, "F-0", 1), (2, "F-1", 1), (3, "F-2", 1), (4, "F-1", 2)]
    assert api.get("/api/events").json()["seq"] == 4


def test_an_event_of_the_feed_is_the_shipments_event(api: Api, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher, reference="F-1")
    number_all()

    (entry,) = api.get("/api/events").json()["events"]
    (event,) = api.get("/api/shipments/F-1/events").json()["events"]

    assert entry == event | {"shipmentId": "F-1", "position": 1}


def test_what_is_not_numbered_is_not_shown_yet(api: Api, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher)

    assert api.get("/api/events").json()["events"] == []
    assert FeedEntry.objects.filter(organization=dispatcher.organization_id).count() == 0


@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("auditor", 200), ("driver", 404), ("customer", 404)])
def test_only_those_who_see_every_shipment_have_a_feed(house: Organization, role: str, status: int) -> None:
    assert Api(factories.member(house, role)).get("/api/events").status_code == status


@pytest.mark.parametrize(
    "query", [{"after": "-1"}, {"after": "x"}, {"limit": "1001"}, {"wait": "26"}, {"seq": "1"}]
)
def test_bad_parameters_are_refused(api: Api, query: dict[str, str]) -> None:
    assert api.get("/api/events", query).status_code == 400


def test_the_audit_log_lists_newest_first_and_filters(house: Organization, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher, reference="A-1")
    Api(dispatcher).post("/api/shipments/A-1/transitions", {"to": "dispatched"})
    auditor = Api(factories.member(house, "auditor"))

    everything = auditor.get("/api/audit-log").json()["results"]
    moved = auditor.get("/api/audit-log", {"action": "transition", "entityId": "A-1"}).json()["results"]

    assert [entry["action"] for entry in everything] == ["transition", "create"]
    assert [(e["before"], e["after"]) for e in moved] == [({"status": "booked"}, {"status": "dispatched"})]
    assert moved[0]["actor"] == {"role": "dispatcher", "id": str(dispatcher.user_id), "name": dispatcher.name}


def test_the_audit_log_pages_by_cursor(house: Organization, dispatcher: Subject) -> None:
    for number in range(5):
        factories.booked_shipment(dispatcher, reference=f"A-{number}")
    auditor = Api(factories.member(house, "auditor"))

    page = auditor.get("/api/audit-log", {"limit": 2}).json()
    seen = [entry["entityId"] for entry in page["results"]]
    while page["next"]:
        page = auditor.get(page["next"]).json()
        seen += [entry["entityId"] for entry in page["results"]]

    assert sorted(seen) == [f"A-{number}" for number in range(5)]
    assert len(seen) == AuditEntry.objects.filter(organization=house).count()


@pytest.mark.parametrize(
    ("role", "status"), [("admin", 200), ("dispatcher", 403), ("driver", 403), ("customer", 403)]
)
def test_who_may_read_the_audit(house: Organization, role: str, status: int) -> None:
    assert Api(factories.member(house, role)).get("/api/audit-log").status_code == status


def test_another_organisations_audit_is_not_shown(house: Organization, rival: Subject) -> None:
    factories.booked_shipment(rival)

    assert Api(factories.member(house, "auditor")).get("/api/audit-log").json()["results"] == []


def test_unknown_filters_are_refused(house: Organization) -> None:
    answer = Api(factories.member(house, "auditor")).get("/api/audit-log", {"who": "me", "from": "then"})

    assert field_errors(answer) == [("who", "unknown_parameter"), ("from", "invalid")]


def test_a_changed_driver_or_customer_stands_in_the_feed(api: Api) -> None:
    driver = api.post("/api/drivers", {"name": "Ana", "phone": "+31 6 5555"}).json()
    customer = api.post("/api/customers", {"name": "Old name"}).json()
    api.patch(f"/api/customers/{customer['id']}", {"name": "New name"})
    api.patch(f"/api/drivers/{driver['id']}", {"name": "Ana"})
    number_all()

    events = api.get("/api/events").json()["events"]

    assert [(event["type"], event["shipmentId"], event["seq"], event["position"]) for event in events] == [
        ("driver_changed", None, 0, 1),
        ("customer_changed", None, 0, 2),
        ("customer_changed", None, 0, 3),
    ]
    assert events[2]["data"]["changes"] == {"customer": {"id": customer["id"], "name": "New name"}}
    assert "31 6 5555" not in str(events[0])


def test_a_refusal_stands_in_the_audit(house: Organization, dispatcher: Subject) -> None:
    Api(dispatcher).get("/api/audit-log")

    (entry,) = Api(factories.member(house, "auditor")).get("/api/audit-log", {"action": "denied"}).json()["results"]

    assert (entry["actor"]["id"], entry["entityId"], entry["outcome"]) == (
        str(dispatcher.user_id), "/api/audit-log", "refused",
    )  # fmt: skip
    assert entry["after"]["method"] == "GET"
