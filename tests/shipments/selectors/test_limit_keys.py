"""Who the keys of rate limits belong to: for staff in the report, by id in the admin."""

import uuid
from collections import Counter
from typing import Any

import pytest
from django.test import Client

from ratelimits import report
from shipments.auth import subjects
from shipments.models import User
from shipments.selectors import limit_keys
from shipments.services.accounts import api_keys
from tests import factories
from tests.narrowing import present

pytestmark = pytest.mark.django_db


def _person(role: str = "admin") -> User:
    return factories.user(factories.organization("Nordwind"), role)


def _key(person: User, *scopes: str) -> tuple[Any, str]:
    by = present(subjects.subject_of_user(person))
    return api_keys.create(by=by, now=factories.NOW, name="ERP", scopes=list(scopes) or ["shipments:read"])


def test_ids_have_names_and_what_is_no_id_has_none() -> None:
    person = _person()
    row, _ = _key(person)
    unknown = ["address:192.0.2.1", f"user:{uuid.uuid4()}", "x"]

    names = limit_keys.owners([f"key:{row.pk}", f"user:{person.pk}", f"keys:{person.pk}", *unknown])

    assert names == {
        f"key:{row.pk}": f"ERP of {person.email}, Nordwind",
        f"user:{person.pk}": f"{person.email}, Nordwind",
        f"keys:{person.pk}": f"{person.email}, Nordwind",
    }


def test_the_report_names_owners_to_staff_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    person = _person()
    User.objects.filter(pk=person.pk).update(is_staff=True)
    person.refresh_from_db()
    _, staff_key = _key(person, "metrics:read")
    _, plain_key = _key(_person())
    hits = Counter({f"general user:{person.pk}": 9})
    monkeypatch.setattr(report, "_totals_from_redis", lambda: ({}, hits, Counter()))
    client = Client()

    def owners(**headers: str) -> list[str | None]:
        body = client.get("/api/metrics/ratelimit", headers=headers).json()
        return [each.get("owner") for each in body["topKeys"]]

    assert owners(authorization=f"Bearer {staff_key}") == [f"{person.email}, Nordwind"]
    assert owners() == owners(authorization=f"Bearer {plain_key}") == [None]


@pytest.mark.parametrize("page", ["user", "apikey"])
def test_the_admin_finds_the_ids(page: str) -> None:
    person = _person()
    row, _ = _key(person)
    operator = User.objects.create_superuser(email=f"root-{uuid.uuid4().hex[:8]}@example.test", password="x" * 20)
    client = Client()
    client.force_login(operator)
    wanted, searched = (person.email, f"user:{person.pk}") if page == "user" else ("ERP", f"key:{row.pk}")

    for text in (searched, searched.partition(":")[2]):
        assert wanted in client.get(f"/admin/shipments/{page}/", {"q": text}).content.decode()
    assert wanted not in client.get(f"/admin/shipments/{page}/", {"q": str(uuid.uuid4())}).content.decode()
