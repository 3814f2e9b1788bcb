"""`/api/auth/login`, `refresh`, `logout` and `me`, and the limits of callers."""

import uuid
from ipaddress import ip_address
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from shipments.auth import password_hashers
from shipments.auth.password_hashers import HashGate
from shipments.models import AuditEntry, Membership, User
from tests.factories import PASSWORD
from tests.shipments.api.accounts import auth_client

pytestmark = pytest.mark.django_db

BAD_CREDENTIALS_DETAIL = "The credentials are missing, wrong or no longer good."


def _login(client: Client, user: User, password: str = PASSWORD) -> Any:
    return auth_client.post(client, "login", {"email": user.email, "password": password})


def test_a_login_returns_the_token_pair_and_the_user(client: Client, user: User) -> None:
    response = _login(client, user)

    body = response.json()
    assert response.status_code == 200
    assert set(body) == {"access", "refresh", "expiresAt", "user"}
    assert body["user"] == {
        "id": str(user.pk),
        "email": user.email,
        "name": "Dispatcher",
        "role": "dispatcher",
        "organization": {"id": str(user.membership.organization_id), "name": "Acme Freight"},
    }
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize("case", ["wrong", "unknown"])
def test_a_failed_login_does_not_say_what_was_wrong(client: Client, user: User, case: str) -> None:
    email = user.email if case == "wrong" else "nobody@example.test"

    response = auth_client.post(client, "login", {"email": email, "password": "wrong"})

    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"
    assert response["WWW-Authenticate"] == 'Bearer realm="freight"'
    assert response.json()["detail"] == BAD_CREDENTIALS_DETAIL


def test_a_superuser_without_an_organisation_is_told_so(client: Client) -> None:
    root = User.objects.create_superuser(f"{uuid.uuid4()}@example.test", PASSWORD)

    refused = _login(client, root)

    assert refused.status_code == 403
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["detail"].startswith("This account belongs to no organisation")
    assert _login(client, root, "wrong").json()["detail"] == BAD_CREDENTIALS_DETAIL


def test_the_sixth_attempt_is_429_with_retry_after(client: Client, user: User) -> None:
    statuses = [_login(client, user, "wrong").status_code for _ in range(5)]

    refused = _login(client, user)

    assert statuses == [401] * 5
    assert refused.status_code == 429
    assert 880 <= int(refused["Retry-After"]) <= 901
    assert refused["Content-Type"] == "application/problem+json"


def test_a_login_that_finds_no_room_to_hash_is_429_with_retry_after(
    client: Client, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(password_hashers, "gate", HashGate(slots=0, queue=0, wait_seconds=0))

    refused = _login(client, user)

    assert (refused.status_code, refused["Retry-After"]) == (429, "2")
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["detail"].startswith("Many people are logging in just now")
    assert refused.has_header("RateLimit")


def test_a_login_makes_the_device_known_and_its_next_login_passes_a_lockout(client: Client, user: User) -> None:
    cookie = _login(client, user).cookies["freight_device"]
    stranger = Client(REMOTE_ADDR=client.defaults["REMOTE_ADDR"])
    for _ in range(5):
        _login(stranger, user, "wrong")

    assert (cookie["path"], cookie["samesite"], cookie["httponly"]) == ("/api/auth/login", "Strict", True)
    assert _login(stranger, user).status_code == 429
    assert _login(client, user).status_code == 200


def test_a_forwarded_header_of_a_client_changes_neither_limit_nor_audit(
    client: Client, user: User, settings: Settings
) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"auth": (1, 900)}  # ten attempts an address
    for number in range(10):
        client.post(
            "/api/auth/login",
            {"email": f"{number}@example.test", "password": "x"},
            content_type="application/json",
            headers={"x-forwarded-for": f"198.51.100.{number}"},
        )

    assert _login(client, user).status_code == 429
    addresses = AuditEntry.objects.filter(action="login_failed", actor_name="0@example.test")
    assert ip_address(addresses.latest("id").address or "") == ip_address(client.defaults["REMOTE_ADDR"])


@pytest.mark.parametrize("body", [{}, {"email": "a@b.c"}, {"email": ["x"], "password": {}}, [], "text"])
def test_an_incomplete_login_is_400(client: Client, body: Any) -> None:
    assert auth_client.post(client, "login", body).status_code == 400


def test_a_login_ignores_a_session_and_an_invalid_token(client: Client, user: User) -> None:
    client.force_login(user)

    response = auth_client.post(client, "login", {"email": user.email, "password": PASSWORD}, token="rubbish")

    assert response.status_code == 200


def test_me_shows_the_caller(client: Client, user: User, token: str) -> None:
    body = auth_client.get(client, "me", token).json()

    assert (body["email"], body["role"], body["scopes"]) == (user.email, "dispatcher", None)


@pytest.mark.parametrize("token", ["rubbish", "a.b.c", "frk_unknown", "", "x" * 5000])
def test_an_invalid_token_is_401(client: Client, token: str) -> None:
    response = client.get("/api/auth/me", headers={"authorization": f"Bearer {token}"})

    assert (response.status_code, response.json()["detail"]) == (401, BAD_CREDENTIALS_DETAIL)


def test_a_token_in_the_query_is_ignored(client: Client, token: str) -> None:
    assert client.get(f"/api/auth/me?token={token}&access_token={token}").status_code == 401


def test_a_refresh_rotates_and_a_second_tab_gets_the_same_pair(client: Client, user: User) -> None:
    first = _login(client, user).json()
    second = auth_client.post(client, "refresh", {"refresh": first["refresh"]}).json()

    again = auth_client.post(client, "refresh", {"refresh": first["refresh"]})

    assert (again.status_code, again.json()) == (200, second)
    assert second["refresh"] != first["refresh"]
    assert auth_client.get(client, "me", second["access"]).status_code == 200


def test_reuse_of_an_old_token_from_elsewhere_ends_the_login(client: Client, user: User) -> None:
    first = _login(client, user).json()
    second = auth_client.post(client, "refresh", {"refresh": first["refresh"]}).json()

    reuse = auth_client.post(Client(REMOTE_ADDR="198.51.100.9"), "refresh", {"refresh": first["refresh"]})

    assert reuse.status_code == 401
    assert auth_client.get(client, "me", second["access"]).status_code == 401
    assert auth_client.post(client, "refresh", {"refresh": second["refresh"]}).status_code == 401


def test_logout_ends_the_login(client: Client, user: User) -> None:
    pair = _login(client, user).json()

    assert auth_client.post(client, "logout", token=pair["access"]).status_code == 204

    assert auth_client.get(client, "me", pair["access"]).status_code == 401
    assert auth_client.post(client, "refresh", {"refresh": pair["refresh"]}).status_code == 401


def test_a_session_reads_without_a_csrf_token_and_writes_only_with_one(client: Client, user: User) -> None:
    client.force_login(user)

    assert client.get("/api/auth/me").status_code == 200
    refused = auth_client.post(client, "logout")
    assert refused.status_code == 403
    assert refused["Content-Type"] == "application/problem+json"
    client.cookies["csrftoken"] = "a" * 32
    accepted = client.post("/api/auth/logout", headers={"x-csrftoken": "a" * 32})
    assert accepted.status_code == 204
    assert client.get("/api/auth/me").status_code == 401


def test_a_user_without_a_membership_is_401(client: Client, user: User, token: str) -> None:
    Membership.objects.filter(user=user).delete()

    assert auth_client.get(client, "me", token).status_code == 401


# -- limits ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("patient_redis")
def test_invalid_credentials_count_against_the_address(client: Client, settings: Settings) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"general": (3, 900)}

    responses = [auth_client.get(client, "me", "rubbish") for _ in range(5)]

    assert [response.status_code for response in responses] == [401, 401, 401, 429, 429]
    assert responses[0]["RateLimit-Policy"] == '"general";q=3;w=900'
    assert responses[4].json()["status"] == 429
    assert int(responses[4]["Retry-After"]) >= 1


@pytest.mark.usefixtures("patient_redis")
def test_a_caller_is_limited_as_itself_from_any_address(client: Client, token: str, settings: Settings) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"general": (2, 900)}

    responses = [
        client.get("/api/auth/me", headers={"authorization": f"Bearer {token}"}, REMOTE_ADDR=f"198.51.100.{number}")
        for number in range(3)
    ]

    assert [response.status_code for response in responses] == [200, 200, 429]
