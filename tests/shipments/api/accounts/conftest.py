"""A client with an address of its own, and a user with a password and an access token."""

import uuid

import pytest
from django.test import Client

from shipments.models import User
from tests import factories
from tests.shipments.api.accounts import auth_client


@pytest.fixture
def client() -> Client:
    """Return a client from an address of its own: rate limits count addresses, and tests run at once."""
    return Client(
        enforce_csrf_checks=True, REMOTE_ADDR=f"2001:db8:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}::1"
    )


@pytest.fixture
def user(db: None) -> User:
    return factories.user(factories.organization(), "dispatcher", password=factories.PASSWORD)


@pytest.fixture
def token(user: User) -> str:
    return auth_client.issue_access_token(user)
