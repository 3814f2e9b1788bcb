"""An organisation with a dispatcher, and a second one beside it."""

import pytest

from shipments.auth.subjects import Subject
from shipments.models import Organization
from tests import factories
from tests.shipments.api.client import Api


@pytest.fixture
def organization(db: None) -> Organization:
    return factories.organization()


@pytest.fixture
def dispatcher(organization: Organization) -> Subject:
    return factories.member(organization, "dispatcher")


@pytest.fixture
def api(dispatcher: Subject) -> Api:
    return Api(dispatcher)


@pytest.fixture
def rival(db: None) -> Subject:
    return factories.member(factories.organization("Rival"), "dispatcher")
