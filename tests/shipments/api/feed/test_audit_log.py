"""GET /api/audit-log."""

import pytest

from ratelimits import changes
from shipments.auth import subjects
from shipments.auth.subjects import Subject
from shipments.models import AuditEntry, Organization, User
from tests import factories
from tests.narrowing import present
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


def _staff(organization: Organization, role: str = "admin") -> Subject:
    person = factories.user(organization, role)
    User.objects.filter(pk=person.pk).update(is_staff=True)
    return present(subjects.subject_of_user(User.objects.get(pk=person.pk)))


def _change_limits() -> None:
    changes.set_policy(by=None, now=factories.NOW, policy="ai", most=3, window=30)
    changes.set_key(by=None, now=factories.NOW, policy="general", key="address:192.0.2.1", most=7)


def test_staff_sees_changed_limits(organization: Organization) -> None:
    _change_limits()

    listed = Api(_staff(organization)).get("/api/audit-log", {"action": "limit_change", "limit": 2}).json()
    more = Api(_staff(organization)).get("/api/audit-log", {"scope": "installation", "entity": "rate_limit"}).json()

    assert [(each["entity"], each["actor"]["name"]) for each in listed["results"]] == [
        ("rate_limit", "manage.py limits")
    ] * 2
    assert {each["action"] for each in more["results"]} == {"limit_change"}


def test_changed_limits_page_by_cursor(organization: Organization) -> None:
    _change_limits()
    staff = Api(_staff(organization))

    first = staff.get("/api/audit-log", {"action": "limit_change", "limit": 1}).json()
    second = staff.get(first["next"]).json()

    assert [len(page["results"]) for page in (first, second)] == [1, 1]
    assert first["results"][0]["id"] != second["results"][0]["id"]


def test_nobody_else_sees_entries_of_the_installation(organization: Organization) -> None:
    _change_limits()
    admin = Api(factories.member(organization, "admin"))

    assert admin.get("/api/audit-log", {"action": "limit_change"}).json()["results"] == []
    assert admin.get("/api/audit-log", {"scope": "installation"}).status_code == 403
    assert (
        Api(_staff(organization, "dispatcher")).get("/api/audit-log", {"scope": "installation"}).status_code == 403
    )
    assert field_errors(admin.get("/api/audit-log", {"scope": "all"})) == [("scope", "invalid")]


def test_staff_sees_its_organisations_entries_by_default(organization: Organization, dispatcher: Subject) -> None:
    _change_limits()
    factories.booked_shipment(dispatcher, reference="A-1")

    entries = Api(_staff(organization)).get("/api/audit-log").json()["results"]

    assert [entry["entityId"] for entry in entries] == ["A-1"]
