"""Fixtures of the fleet tests: an organisation and a driver that reports its own position."""

import pytest

from shipments.auth.subjects import Subject
from shipments.models import Organization
from tests import factories


@pytest.fixture
def organization(db: None) -> Organization:
    return factories.organization()


@pytest.fixture
def driver(organization: Organization) -> Subject:
    return factories.member(organization, "driver")
