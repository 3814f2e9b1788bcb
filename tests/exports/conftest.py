"""Whose exports, and where their files go."""

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
def folder(tmp_path: Path, settings: Any, committed: None) -> Path:
    """A folder for this test's files, and a queue without other tests' orders."""
    Export.objects.filter(state__in=["queued", "running"]).update(state=Export.State.CANCELLED)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM procrastinate_jobs")
    settings.EXPORT_DIR = tmp_path / "exports"
    return tmp_path / "exports"


@pytest.fixture
def house(committed: None) -> Organization:
    return factories.organization()


@pytest.fixture
def dispatcher(house: Organization) -> Subject:
    return factories.member(house, "dispatcher")


@pytest.fixture
def api(dispatcher: Subject) -> Api:
    return Api(dispatcher)
