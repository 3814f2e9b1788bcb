"""GET /api/users/search?q=."""

from urllib.parse import quote

import pytest

from shipments.auth.subjects import Subject
from shipments.models import Organization
from tests import factories
from tests.shipments.api.client import Api, field_errors

pytestmark = pytest.mark.django_db


def search_users(api: Api, text: str) -> list[str]:
    return [each["name"] for each in api.get(f"/api/users/search?q={quote(text)}").json()["results"]]


@pytest.fixture
def named_members(organization: Organization) -> None:
    for name, active in [("Ada Lovelace", True), ("Grace Hopper", True), ("Adam Gone", False)]:
        user = factories.user(organization, "auditor")
        user.name, user.is_active = name, active
        user.email = name.lower().replace(" ", ".") + "@crew.test"
        user.save()


def test_members_are_found_by_name_by_address_and_by_similarity(api: Api, named_members: None) -> None:
    assert search_users(api, "ada") == ["Ada Lovelace"]
    assert search_users(api, "grace.h") == ["Grace Hopper"]
    assert search_users(api, "Lovlace") == ["Ada Lovelace"]
    assert search_users(api, "crew.test") == []
    [match] = api.get("/api/users/search?q=hopper").json()["results"]
    assert set(match) == {"id", "name", "email", "role"}
    assert (match["email"], match["role"]) == ("grace.hopper@crew.test", "auditor")


def test_members_of_another_organisation_are_not_found(named_members: None, rival: Subject) -> None:
    assert search_users(Api(rival), "ada") == []


def test_at_most_twenty_members_are_returned(api: Api, organization: Organization) -> None:
    for _ in range(21):
        factories.user(organization, "auditor")

    assert len(search_users(api, "auditor")) == 20


@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("driver", 403), ("customer", 403), ("auditor", 403)])
def test_only_admins_and_dispatchers_search_members(organization: Organization, role: str, status: int) -> None:
    assert Api(factories.member(organization, role)).get("/api/users/search?q=ada").status_code == status


@pytest.mark.parametrize(
    ("query", "problem"), [("", ("q", "required")), ("q=a", ("q", "invalid")), ("p=ab", ("p", "unknown_parameter"))]
)
def test_invalid_search_parameters_are_named(api: Api, query: str, problem: tuple[str, str]) -> None:
    assert field_errors(api.get(f"/api/users/search?{query}")) == [problem]
