"""GET /api/audit-log."""

import pytest

from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Organization
from tests import factories
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.django_db


def test_the_audit_log_lists_newest_first_and_filters(organization: Organization, dispatcher: Subject) -> None:
    factories.booked_shipment(dispatcher, reference="A-1")
    Api(dispatcher).post("/api/shipments/A-1/transitions", {"to": "dispatched"})
    auditor = Api(factories.member(organization, "auditor"))

    everything = auditor.get("/api/audit-log").json()["results"]
    transitions = auditor.get("/api/audit-log", {"action": "transition", "entityId": "A-1"}).json()["results"]

    assert [entry["action"] for entry in everything] == ["transition", "create"]
    (transition,) = transitions
    assert (transition["before"], transition["after"]) == ({"status": "booked"}, {"status": "dispatched"})
    assert transition["actor"] == {"role": "dispatcher", "id": str(dispatcher.user_id), "name": dispatcher.name}


def test_the_audit_log_pages_by_cursor(organization: Organization, dispatcher: Subject) -> None:
    for number in range(5):
        factories.booked_shipment(dispatcher, reference=f"A-{number}")
    auditor = Api(factories.member(organization, "auditor"))

    page = auditor.get("/api/audit-log", {"limit": 2}).json()
    references = [entry["entityId"] for entry in page["results"]]
    while page["next"]:
        page = auditor.get(page["next"]).json()
        references += [entry["entityId"] for entry in page["results"]]

    assert sorted(references) == [f"A-{number}" for number in range(5)]
    assert len(references) == AuditEntry.objects.filter(organization=organization).count()


@pytest.mark.parametrize(
    ("role", "status"), [("admin", 200), ("dispatcher", 403), ("driver", 403), ("customer", 403)]
)
def test_which_roles_read_the_audit_log(organization: Organization, role: str, status: int) -> None:
    assert Api(factories.member(organization, role)).get("/api/audit-log").status_code == status


def test_another_organisations_audit_log_is_not_shown(organization: Organization, rival: Subject) -> None:
    factories.booked_shipment(rival)

    assert Api(factories.member(organization, "auditor")).get("/api/audit-log").json()["results"] == []


def test_unknown_and_invalid_filters_are_named(organization: Organization) -> None:
    answer = Api(factories.member(organization, "auditor")).get("/api/audit-log", {"who": "me", "from": "then"})

    assert field_errors(answer) == [("who", "unknown_parameter"), ("from", "invalid")]


def test_a_denied_request_is_in_the_audit_log(organization: Organization, dispatcher: Subject) -> None:
    Api(dispatcher).get("/api/audit-log")

    (entry,) = (
        Api(factories.member(organization, "auditor")).get("/api/audit-log", {"action": "denied"}).json()["results"]
    )

    assert (entry["actor"]["id"], entry["entityId"], entry["outcome"]) == (
        str(dispatcher.user_id), "/api/audit-log", "refused",
    )  # fmt: skip
    assert entry["after"]["method"] == "GET"
