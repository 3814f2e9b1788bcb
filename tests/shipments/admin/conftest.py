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

    def enter(role: str = "admin", *, staff: bool = True) -> Client:
        if role == "root":
            person = User.objects.create_superuser(f"{uuid.uuid4()}@example.test", name="Root")
        else:
            person = factories.user(house, role)
            person.is_staff = staff
            person.save(update_fields=["is_staff"])
        client = Client()
        client.force_login(person)
        return client

    return enter
