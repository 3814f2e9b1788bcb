"""The login page, without a browser."""

import uuid
from typing import Any

import pytest
from django.test import Client

from shipments.auth import password_hashers
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
