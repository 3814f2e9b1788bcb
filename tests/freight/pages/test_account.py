"""The login page, without a browser."""

import uuid
from ipaddress import ip_network
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from shipments.auth import device_cookies, password_hashers
from shipments.auth.password_hashers import HashGate
from shipments.models import User
from tests import factories
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    """Return a client from an address of its own."""
    return Client(REMOTE_ADDR=f"2001:db8:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}::1")


@pytest.fixture
def user() -> User:
    return factories.user(factories.organization(), "dispatcher", password=PASSWORD)


def log_in(client: Client, email: str, password: str = PASSWORD) -> Any:
    return client.post("/login", {"email": email, "password": password})


def test_the_right_password_starts_a_session(client: Client, user: User) -> None:
    response = log_in(client, user.email)

    assert (response.status_code, response["Location"]) == (302, "/")
    assert client.get("/api/auth/me").json()["email"] == user.email


def test_a_password_may_have_a_thousand_characters(client: Client) -> None:
    password = "correct horse battery " * 40
    user = factories.user(factories.organization(), "dispatcher", password=password)

    assert log_in(client, user.email, password).status_code == 302


def test_a_login_that_finds_no_room_to_hash_says_so(
    client: Client, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(password_hashers, "gate", HashGate(slots=0, queue=0, wait_seconds=0))

    response = log_in(client, user.email)

    assert (response.status_code, response["Retry-After"]) == (429, "2")
    assert "Many people are logging in just now" in response.content.decode()
    assert user.email in response.content.decode()


def test_the_sixth_attempt_says_how_long_to_wait(client: Client, user: User) -> None:
    statuses = [log_in(client, user.email, "wrong").status_code for _ in range(5)]

    response = log_in(client, user.email)

    assert statuses == [401] * 5
    assert response.status_code == 429
    assert 880 <= int(response["Retry-After"]) <= 901
    assert "Try again in about 15 min." in response.content.decode()


def test_a_login_makes_the_device_known_at_this_door_only(client: Client, user: User) -> None:
    cookie = log_in(client, user.email).cookies["freight_device"]

    assert (cookie["path"], cookie["samesite"], cookie["httponly"]) == ("/login", "Strict", True)
    assert cookie["max-age"] == 180 * 86400
    assert device_cookies.device_of(cookie.value, user, now=timezone.now())


def test_a_known_device_stays_the_same_device(client: Client, user: User) -> None:
    devices = [
        device_cookies.device_of(
            log_in(client, user.email).cookies["freight_device"].value, user, now=timezone.now()
        )
        for _ in range(2)
    ]

    assert devices[0] == devices[1] != ""


def test_a_failed_login_makes_no_device_known(client: Client, user: User) -> None:
    assert "freight_device" not in log_in(client, user.email, "wrong").cookies


def test_the_devices_cookie_is_secure_where_clients_come_by_https(
    client: Client, user: User, settings: Settings
) -> None:
    settings.SESSION_COOKIE_SECURE = True

    assert log_in(client, user.email).cookies["freight_device"]["secure"]


def test_a_stranger_elsewhere_does_not_lock_the_owner_out(client: Client, user: User) -> None:
    stranger = Client(REMOTE_ADDR=f"2001:db8:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}::1")
    statuses = [log_in(stranger, user.email, "wrong").status_code for _ in range(7)]

    assert statuses == [401] * 5 + [429] * 2
    assert log_in(client, user.email).status_code == 302


def test_a_member_that_was_removed_is_told_so(client: Client, user: User) -> None:
    user.membership.delete()

    response = log_in(client, user.email)

    assert response.status_code == 403
    assert "belongs to no organisation" in response.content.decode()


def test_a_superuser_without_an_organisation_gets_a_session(client: Client) -> None:
    root = User.objects.create_superuser(f"{uuid.uuid4()}@example.test", PASSWORD)

    assert log_in(client, root.email).status_code == 302


@pytest.mark.parametrize("page", ["/", "/exports", "/imports"])
def test_a_superuser_without_an_organisation_is_sent_to_the_admin(page: str) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser(f"{uuid.uuid4()}@example.test"))

    response = client.get(page, follow=True)

    assert response.redirect_chain == [("/admin/", 302)]
    assert response.status_code == 200


def test_where_the_admin_does_not_answer_a_superuser_is_told_what_to_do(settings: Settings) -> None:
    settings.ADMIN_ALLOWED_NETWORKS = [ip_network("10.0.0.0/8")]
    client = Client()
    client.force_login(User.objects.create_superuser(f"{uuid.uuid4()}@example.test"))

    response = client.get("/")

    assert response.status_code == 403
    assert "ADMIN_ALLOWED_NETWORKS" in response.content.decode()


def test_a_member_that_was_removed_may_log_out(user: User) -> None:
    client = Client()
    client.force_login(user)
    user.membership.delete()

    page = client.get("/")

    assert page.status_code == 403
    assert "Ask an administrator of your organisation to add you." in page.content.decode()
    assert 'href="/"' not in page.content.decode()
    assert 'action="/logout"' in page.content.decode()
