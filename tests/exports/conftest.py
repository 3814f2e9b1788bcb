"""Fixtures of exports: an organisation with a dispatcher and their API client, and a directory for files."""

from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from exports.models import Export
from shipments.auth.subjects import Subject
from shipments.models import Organization
from tests import factories
from tests.shipments.api.client import Api


@pytest.fixture
def export_dir(tmp_path: Path, settings: Any, committed: None) -> Path:
    """Set a directory for this test's files and empty the queue of other tests' jobs."""
    Export.objects.filter(state__in=["queued", "running"]).update(state=Export.State.CANCELLED)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs")
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
