"""An organisation, and members of staff who have logged in to the admin."""

import uuid

import pytest
from django.test import Client

from shipments.models import Organization, User
from tests import factories
from tests.shipments.admin.operators import Operators


@pytest.fixture
def house() -> Organization:
    return factories.organization()


@pytest.fixture
def operator(house: Organization) -> Operators:
    """Makes a browser in which a member of staff (or a superuser of no organisation) has logged in."""

    def log_in(role: str = "admin", *, staff: bool = True) -> Client:
        if role == "root":
            user = User.objects.create_superuser(f"{uuid.uuid4()}@example.test", name="Root")
        else:
            user = factories.user(house, role)
            user.is_staff = staff
            user.save(update_fields=["is_staff"])
        client = Client()
        client.force_login(user)
        return client

    return log_in
