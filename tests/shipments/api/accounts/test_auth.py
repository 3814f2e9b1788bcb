"""`/api/auth/…` as a client sees it."""

import uuid
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from shipments.auth import tokens
from shipments.models import ApiKey, AuditEntry, Membership, RefreshFamily, User
from tests import factories

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
BAD_CREDENTIALS_DETAIL = "The credentials are missing, wrong or no longer good."


@pytest.fixture
def api() -> Client:
    """A client with an address of its own, so that no test uses up another's chances."""
    return Client(
        enforce_csrf_checks=True, REMOTE_ADDR=f"2001:db8:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}::1"
    )


@pytest.fixture
def person() -> User:
    return factories.user(factories.organization(), "dispatcher", password=PASSWORD)


def _post(api: Client, path: str, body: Any = None, token: str | None = None) -> Any:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return api.post(f"/api/auth/{path}", body, content_type="application/json", headers=headers)


def _get(api: Client, path: str, token: str) -> Any:
    return api.get(f"/api/auth/{path}", headers={"authorization": f"Bearer {token}"})


def _login(api: Client, person: User, password: str = PASSWORD) -> Any:
    return _post(api, "login", {"email": person.email, "password": password})


def _issue_access_token(user: User) -> str:
    """Return an access token without the cost of a password."""
    now = datetime.now(UTC)
    login = RefreshFamily.objects.create(
        user=user, created_at=now, refreshed_at=now, expires_at=now + timedelta(days=1)
    )
    return tokens.issue_access(user_id=user.pk, login_id=login.pk, authz_version=user.authz_version, now=now)[0]


def test_a_login_answers_with_the_pair_and_the_user(api: Client, person: User) -> None:
    response = _login(api, person)

    body = response.json()
    assert response.status_code == 200
    assert set(body) == {"access", "refresh", "expiresAt", "user"}
    assert body["user"] == {
        "id": str(person.pk),
        "email": person.email,
        "name": "Dispatcher",
        "role": "dispatcher",
        "organization": {"id": str(person.membership.organization_id), "name": "Acme Freight"},
    }
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize("case", ["wrong", "unknown"])
def test_a_refused_login_tells_nothing(api: Client, person: User, case: str) -> None:
    email = person.email if case == "wrong" else "nobody@example.test"

    response = _post(api, "login", {"email": email, "password": "wrong"})

    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"
    assert response["WWW-Authenticate"] == 'Bearer realm="freight"'
    assert response.json()["detail"] == BAD_CREDENTIALS_DETAIL


def test_the_sixth_failure_is_429_and_says_when_to_come_back(api: Client, person: User) -> None:
    answers = [_login(api, person, "wrong").status_code for _ in range(5)]

    refused = _login(api, person)

    assert answers == [401] * 5
    assert refused.status_code == 429
    assert 880 <= int(refused["Retry-After"]) <= 901
    assert refused["Content-Type"] == "application/problem+json"


def test_a_forwarded_header_of_a_client_changes_neither_limit_nor_audit(
    api: Client, person: User, settings: Settings
) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"auth": (1, 900)}  # ten from an address
    for number in range(10):
        api.post(
            "/api/auth/login",
            {"email": f"{number}@example.test", "password": "x"},
            content_type="application/json",
            headers={"x-forwarded-for": f"198.51.100.{number}"},
        )

    assert _login(api, person).status_code == 429
    addresses = AuditEntry.objects.filter(action="login_failed", actor_name="0@example.test")
    assert ip_address(addresses.latest("id").address or "") == ip_address(api.defaults["REMOTE_ADDR"])


@pytest.mark.parametrize("body", [{}, {"email": "a@b.c"}, {"email": ["x"], "password": {}}, [], "text"])
def test_a_login_that_lacks_something_is_400(api: Client, body: Any) -> None:
    assert _post(api, "login", body).status_code == 400


def test_a_stale_cookie_or_token_does_not_hinder_a_login(api: Client, person: User) -> None:
    api.force_login(person)

    response = _post(api, "login", {"email": person.email, "password": PASSWORD}, token="rubbish")

    assert response.status_code == 200


def test_me_tells_who_calls(api: Client, person: User) -> None:
    token = _issue_access_token(person)

    body = _get(api, "me", token).json()

    assert (body["email"], body["role"], body["scopes"]) == (person.email, "dispatcher", None)


@pytest.mark.parametrize("token", ["rubbish", "a.b.c", "frk_unknown", "", "x" * 5000])
def test_a_bad_token_is_401(api: Client, token: str) -> None:
    response = api.get("/api/auth/me", headers={"authorization": f"Bearer {token}"})

    assert (response.status_code, response.json()["detail"]) == (401, BAD_CREDENTIALS_DETAIL)


def test_a_token_in_the_query_is_no_token(api: Client, person: User) -> None:
    token = _issue_access_token(person)

    assert api.get(f"/api/auth/me?token={token}&access_token={token}").status_code == 401


def test_a_refresh_rotates_and_an_old_one_ends_everything(api: Client, person: User) -> None:
    first = _login(api, person).json()
    second = _post(api, "refresh", {"refresh": first["refresh"]}).json()

    reused = _post(api, "refresh", {"refresh": first["refresh"]})

    assert reused.status_code == 401
    assert _get(api, "me", second["access"]).status_code == 401
    assert _post(api, "refresh", {"refresh": second["refresh"]}).status_code == 401


def test_logout_ends_the_login(api: Client, person: User) -> None:
    pair = _login(api, person).json()

    assert _post(api, "logout", token=pair["access"]).status_code == 204

    assert _get(api, "me", pair["access"]).status_code == 401
    assert _post(api, "refresh", {"refresh": pair["refresh"]}).status_code == 401


def test_a_session_reads_without_and_writes_only_with_a_csrf_token(api: Client, person: User) -> None:
    api.force_login(person)

    assert api.get("/api/auth/me").status_code == 200
    refused = _post(api, "logout")
    assert refused.status_code == 403
    assert refused["Content-Type"] == "application/problem+json"
    api.cookies["csrftoken"] = "a" * 32
    sent = api.post("/api/auth/logout", headers={"x-csrftoken": "a" * 32})
    assert sent.status_code == 204
    assert api.get("/api/auth/me").status_code == 401


def test_a_user_without_a_membership_is_nobody(api: Client, person: User) -> None:
    token = _issue_access_token(person)
    Membership.objects.filter(user=person).delete()

    assert _get(api, "me", token).status_code == 401


# -- keys -------------------------------------------------------------------------------------------------


@pytest.fixture
def token(person: User) -> str:
    return _issue_access_token(person)


def _key(api: Client, token: str, **fields: Any) -> Any:
    return _post(api, "api-keys", {"name": "tms", "scopes": ["shipments:read"]} | fields, token=token)


def test_a_key_is_shown_once_and_acts_within_its_scopes(api: Client, token: str) -> None:
    made = _key(api, token)

    body = made.json()
    assert made.status_code == 201
    assert body["secret"].startswith("frk_")
    listed = _get(api, "api-keys", token).json()["results"]
    assert "secret" not in listed[0]
    assert body["secret"] not in str(listed)
    me = _get(api, "me", body["secret"]).json()
    assert me["scopes"] == ["shipments:read"]
    stored = ApiKey.objects.get(pk=body["id"])
    assert body["secret"].encode() not in bytes(stored.digest)


def test_a_scope_beyond_the_role_is_refused(api: Client, token: str) -> None:
    response = _key(api, token, scopes=["shipments:read", "audit:read"])

    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "scopes"


def test_a_key_makes_and_revokes_no_keys(api: Client, token: str) -> None:
    made = _key(api, token).json()

    assert _key(api, made["secret"]).status_code == 403
    deleted = api.delete(f"/api/auth/api-keys/{made['id']}", headers={"authorization": f"Bearer {made['secret']}"})
    assert deleted.status_code == 403


def test_a_revoked_key_is_refused_at_once(api: Client, token: str) -> None:
    made = _key(api, token).json()

    deleted = api.delete(f"/api/auth/api-keys/{made['id']}", headers={"authorization": f"Bearer {token}"})

    assert deleted.status_code == 204
    assert _get(api, "me", made["secret"]).status_code == 401


def test_a_key_that_has_ended_is_refused(api: Client, token: str) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = _key(api, token, expiresAt=soon).json()
    ApiKey.objects.filter(pk=made["id"]).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))

    assert _get(api, "me", made["secret"]).status_code == 401


def test_the_use_of_a_key_is_noted_at_most_once_a_minute(api: Client, token: str) -> None:
    made = _key(api, token).json()

    _get(api, "me", made["secret"])
    first = ApiKey.objects.get(pk=made["id"]).last_used_at
    _get(api, "me", made["secret"])

    assert first is not None
    assert ApiKey.objects.get(pk=made["id"]).last_used_at == first


def test_an_administrator_sees_the_organisations_keys_others_their_own(
    api: Client, person: User, token: str
) -> None:
    made = _key(api, token).json()
    admin = factories.user(person.membership.organization, "admin")
    colleague = factories.user(person.membership.organization, "dispatcher")
    stranger = factories.user(factories.organization(), "admin")

    seen = {
        user.email: [key["id"] for key in _get(api, "api-keys", _issue_access_token(user)).json()["results"]]
        for user in (admin, colleague, stranger)
    }

    assert seen == {admin.email: [made["id"]], colleague.email: [], stranger.email: []}


def test_another_organisations_key_is_not_there(api: Client, token: str) -> None:
    made = _key(api, token).json()
    stranger = factories.user(factories.organization(), "admin")
    theirs = _issue_access_token(stranger)

    assert _get(api, f"api-keys/{made['id']}", theirs).status_code == 404
    deleted = api.delete(f"/api/auth/api-keys/{made['id']}", headers={"authorization": f"Bearer {theirs}"})
    assert deleted.status_code == 404


def test_guessing_credentials_counts_against_the_address(api: Client, settings: Settings) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"general": (3, 900)}

    answers = [_get(api, "me", "rubbish") for _ in range(5)]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    assert answers[0]["RateLimit-Policy"] == '"general";q=3;w=900'
    assert answers[4].json()["status"] == 429
    assert int(answers[4]["Retry-After"]) >= 1


def test_a_service_on_the_whitelist_is_never_held_back(api: Client, token: str, settings: Settings) -> None:
    made = _key(api, token, name="batch-processor").json()
    User.objects.update(is_staff=True)  # only a key of staff may be called so
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"general": (1, 900)}
    settings.RATE_LIMIT_WHITELIST = ["batch-processor"]

    answers = [_get(api, "me", made["secret"]) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert "RateLimit" not in answers[0]


def test_a_caller_counts_by_itself_wherever_it_calls_from(api: Client, token: str, settings: Settings) -> None:
    settings.RATE_LIMITS = settings.RATE_LIMITS | {"general": (2, 900)}

    answers = [
        api.get("/api/auth/me", headers={"authorization": f"Bearer {token}"}, REMOTE_ADDR=f"198.51.100.{number}")
        for number in range(3)
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
