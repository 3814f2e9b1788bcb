"""Fixtures of the admin tests: an organisation, and browsers with a logged in operator."""

import uuid

import pytest
from django.test import Client

from shipments.models import Organization, User
from tests import factories
from tests.shipments.admin.operators import OperatorFactory


@pytest.fixture
def organization() -> Organization:
    return factories.organization()


@pytest.fixture
def operator(organization: Organization) -> OperatorFactory:
    """Return a function that logs a member in (staff by default), or a superuser without organisation (`root`)."""

    def log_in(role: str = "admin", *, staff: bool = True) -> Client:
        if role == "root":
            user = User.objects.create_superuser(f"{uuid.uuid4()}@example.test", name="Root")
        else:
            user = factories.user(organization, role)
            user.is_staff = staff
            user.save(update_fields=["is_staff"])
        client = Client()
        client.force_login(user)
        return client

    return log_in
