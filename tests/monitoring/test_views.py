"""Access to metrics and reports."""

import uuid
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from shipments.auth.subjects import Subject
from shipments.models import User
from shipments.services.accounts import api_keys
from shipments.services.validation import InvalidArgument
from tests import factories
from tests.factories import NOW
from tests.narrowing import present

OUTSIDE = "198.51.100.7"


def _get(address: str = OUTSIDE, **headers: str) -> Any:
    return Client(REMOTE_ADDR=address).get("/api/metrics", headers=headers)


def test_the_internal_network_reads_without_a_database_or_a_key() -> None:
    response = _get("127.0.0.1")

    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain; version=")
    assert b"# TYPE python_info gauge" in response.content
    assert "RateLimit" not in response


def test_openmetrics_is_returned_where_accept_prefers_it() -> None:
    response = _get("127.0.0.1", accept="application/openmetrics-text; version=1.0.0")

    assert response["Content-Type"].startswith("application/openmetrics-text")
    assert response.content.endswith(b"# EOF\n")


def test_a_caller_without_credentials_gets_404() -> None:
    assert _get().status_code == 404
    assert _get(**{"x-forwarded-for": "127.0.0.1"}).status_code == 404


def _set_staff(user_id: uuid.UUID | None, *, staff: bool) -> None:
    User.objects.filter(pk=present(user_id)).update(is_staff=staff)


@pytest.fixture
def staff(db: None) -> Subject:
    """Return an administrator of an organisation that is staff of the installation."""
    admin = factories.member(factories.organization(), "admin")
    _set_staff(admin.user_id, staff=True)
    return replace(admin, is_staff=True)


@pytest.mark.parametrize(("scope", "status"), [("metrics:read", 200), ("shipments:read", 404)])
def test_a_key_of_staff_reads_only_with_the_scope(staff: Subject, scope: str, status: int) -> None:
    _, secret = api_keys.create(by=staff, now=NOW, name="prometheus", scopes=[scope])

    assert _get(authorization=f"Bearer {secret}").status_code == status


def test_the_scope_is_not_an_organisations_to_give(db: None) -> None:
    admin = factories.member(factories.organization(), "admin")

    with pytest.raises(InvalidArgument, match="Who is not staff cannot give metrics:read"):
        api_keys.create(by=admin, now=NOW, name="spy", scopes=["shipments:read", "metrics:read"])


@pytest.mark.parametrize("role", ["admin", "dispatcher", "auditor"])
def test_a_key_loses_the_scope_with_its_owners_staff(role: str, db: None) -> None:
    owner = factories.member(factories.organization(), role)
    _set_staff(owner.user_id, staff=True)
    _, secret = api_keys.create(
        by=replace(owner, is_staff=True), now=NOW, name="prometheus", scopes=["metrics:read", "shipments:read"]
    )

    def status_and_scopes() -> tuple[int, list[str]]:
        me = Client(REMOTE_ADDR=OUTSIDE).get("/api/auth/me", headers={"authorization": f"Bearer {secret}"})
        return _get(authorization=f"Bearer {secret}").status_code, me.json()["scopes"]

    assert status_and_scopes() == (200, ["metrics:read", "shipments:read"])
    _set_staff(owner.user_id, staff=False)
    assert status_and_scopes() == (404, ["shipments:read"])


@pytest.mark.django_db
def test_a_bad_key_gets_404() -> None:
    assert _get(authorization="Bearer frk_wrong").status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/metrics/cache", "/api/metrics/health", "/api/health/detailed"])
def test_reports_need_the_scope_metrics_read(staff: Subject, path: str) -> None:
    secrets = {
        scope: api_keys.create(by=staff, now=NOW, name=scope, scopes=[scope])[1]
        for scope in ("metrics:read", "shipments:read")
    }

    def status(**headers: str) -> int:
        return int(Client(REMOTE_ADDR=OUTSIDE).get(path, headers=headers).status_code)

    assert status() == 404
    assert status(authorization=f"Bearer {secrets['shipments:read']}") == 404
    assert status(authorization=f"Bearer {secrets['metrics:read']}") in {200, 503}
