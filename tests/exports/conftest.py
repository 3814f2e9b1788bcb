"""Fixtures of exports: an organisation with a dispatcher and their API client, and a directory for files."""

from pathlib import Path
from typing import Any

import pytest

from exports.background.jobs import OPEN_STATES
from exports.models import Export, Import, Job
from shipments.auth.subjects import Subject
from shipments.models import Organization
from tests import factories
from tests.shipments.api.client import Api


@pytest.fixture
def export_dir(tmp_path: Path, settings: Any, committed: None) -> Path:
    """Set a directory for this test's files and empty the queue of other tests' jobs."""
    for model in (Export, Import):
        model.objects.filter(state__in=OPEN_STATES).update(state=Job.State.CANCELLED)
    settings.EXPORT_DIR = tmp_path / "exports"
    return tmp_path / "exports"


@pytest.fixture
def organization(committed: None) -> Organization:
    return factories.organization()


@pytest.fixture
def dispatcher(organization: Organization) -> Subject:
    return factories.member(organization, "dispatcher")


@pytest.fixture
def api(dispatcher: Subject) -> Api:
    return Api(dispatcher)
