"""Access to metrics and reports."""

from typing import Any

import pytest
from django.test import Client

from shipments.services.accounts import api_keys
from tests import factories
from tests.factories import NOW

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


@pytest.mark.django_db
@pytest.mark.parametrize(("scope", "status"), [("metrics:read", 200), ("shipments:read", 404)])
def test_a_key_reads_only_with_the_scope(scope: str, status: int) -> None:
    admin = factories.member(factories.organization(), "admin")
    _, secret = api_keys.create(by=admin, now=NOW, name="prometheus", scopes=[scope])

    assert _get(authorization=f"Bearer {secret}").status_code == status


@pytest.mark.django_db
def test_a_bad_key_gets_404() -> None:
    assert _get(authorization="Bearer frk_wrong").status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/metrics/cache", "/api/metrics/health", "/api/health/detailed"])
def test_reports_need_the_scope_metrics_read(path: str) -> None:
    admin = factories.member(factories.organization(), "admin")
    secrets = {
        scope: api_keys.create(by=admin, now=NOW, name=scope, scopes=[scope])[1]
        for scope in ("metrics:read", "shipments:read")
    }

    def status(**headers: str) -> int:
        return int(Client(REMOTE_ADDR=OUTSIDE).get(path, headers=headers).status_code)

    assert status() == 404
    assert status(authorization=f"Bearer {secrets['shipments:read']}") == 404
    assert status(authorization=f"Bearer {secrets['metrics:read']}") in {200, 503}
