"""`/api/auth/api-keys`: make, list and revoke keys; what a key may do."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from shipments.auth import subjects
from shipments.models import ApiKey, User
from shipments.services.shipments import tracking_links
from tests import factories
from tests.narrowing import present
from tests.shipments.api.accounts import auth_client

pytestmark = pytest.mark.django_db


def _make_key(client: Client, token: str, **fields: Any) -> Any:
    return auth_client.post(client, "api-keys", {"name": "tms", "scopes": ["shipments:read"]} | fields, token=token)


def test_a_key_is_shown_once_and_acts_within_its_scopes(client: Client, token: str) -> None:
    response = _make_key(client, token)

    key = response.json()
    assert response.status_code == 201
    assert key["secret"].startswith("frk_")
    keys = auth_client.get(client, "api-keys", token).json()["results"]
    assert "secret" not in keys[0]
    assert key["secret"] not in str(keys)
    me = auth_client.get(client, "me", key["secret"]).json()
    assert me["scopes"] == ["shipments:read"]
    stored = ApiKey.objects.get(pk=key["id"])
    assert key["secret"].encode() not in bytes(stored.digest)


def test_a_scope_beyond_the_role_is_refused(client: Client, token: str) -> None:
    response = _make_key(client, token, scopes=["shipments:read", "audit:read"])

    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "scopes"


@pytest.mark.parametrize("role", ["admin", "dispatcher"])
def test_an_api_key_can_neither_list_nor_make_nor_revoke_keys(client: Client, role: str) -> None:
    owner = factories.user(factories.organization(), role)
    token = auth_client.issue_access_token(owner)
    key = _make_key(client, token, scopes=["shipments:read", "shipments:write"]).json()
    path, secret = f"api-keys/{key['id']}", key["secret"]

    responses = [
        auth_client.get(client, "api-keys", secret),
        auth_client.get(client, path, secret),
        _make_key(client, secret),
        auth_client.delete(client, path, secret),
    ]

    assert {(each.status_code, each.json()["detail"]) for each in responses} == {
        (403, "Keys are managed by people who have logged in, not by keys or links.")
    }
    assert auth_client.get(client, path, token).status_code == 200


def test_a_tracking_link_manages_no_keys_either(client: Client, token: str, user: User) -> None:
    by = present(subjects.subject_of_user(user))
    _, link = tracking_links.create(by=by, now=datetime.now(UTC), reference=factories.booked_shipment(by).reference)

    assert auth_client.get(client, "api-keys", link).status_code == 403
    assert _make_key(client, link).status_code == 403


def test_a_revoked_key_is_refused_at_once(client: Client, token: str) -> None:
    key = _make_key(client, token).json()

    response = auth_client.delete(client, f"api-keys/{key['id']}", token)

    assert response.status_code == 204
    assert auth_client.get(client, "me", key["secret"]).status_code == 401


def test_an_expired_key_is_refused(client: Client, token: str) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    key = _make_key(client, token, expiresAt=soon).json()
    ApiKey.objects.filter(pk=key["id"]).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))

    assert auth_client.get(client, "me", key["secret"]).status_code == 401


def test_the_use_of_a_key_is_recorded_at_most_once_a_minute(client: Client, token: str) -> None:
    key = _make_key(client, token).json()

    auth_client.get(client, "me", key["secret"])
    first = ApiKey.objects.get(pk=key["id"]).last_used_at
    auth_client.get(client, "me", key["secret"])

    assert first is not None
    assert ApiKey.objects.get(pk=key["id"]).last_used_at == first


def test_an_administrator_sees_all_keys_and_others_their_own(client: Client, user: User, token: str) -> None:
    key = _make_key(client, token).json()
    admin = factories.user(user.membership.organization, "admin")
    colleague = factories.user(user.membership.organization, "dispatcher")
    stranger = factories.user(factories.organization(), "admin")

    def visible_keys(member: User) -> list[str]:
        response = auth_client.get(client, "api-keys", auth_client.issue_access_token(member))
        return [each["id"] for each in response.json()["results"]]

    seen = {member.email: visible_keys(member) for member in (admin, colleague, stranger)}

    assert seen == {admin.email: [key["id"]], colleague.email: [], stranger.email: []}


def test_another_organisations_key_is_404(client: Client, token: str) -> None:
    key = _make_key(client, token).json()
    stranger = factories.user(factories.organization(), "admin")
    strangers_token = auth_client.issue_access_token(stranger)

    assert auth_client.get(client, f"api-keys/{key['id']}", strangers_token).status_code == 404
    response = auth_client.delete(client, f"api-keys/{key['id']}", strangers_token)
    assert response.status_code == 404


def test_a_service_on_the_whitelist_is_not_limited(client: Client, token: str, settings: Settings) -> None:
    key = _make_key(client, token, name="batch-processor").json()
    User.objects.update(is_staff=True)  # only a key of a staff user can be on the whitelist
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"general": (1, 900)}
    settings.RATE_LIMIT_WHITELIST = ["batch-processor"]

    responses = [auth_client.get(client, "me", key["secret"]) for _ in range(3)]

    assert [response.status_code for response in responses] == [200] * 3
    assert "RateLimit" not in responses[0]
