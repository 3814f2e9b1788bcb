"""The running product, started once for all journeys of a worker."""

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from tests.drills.harness.presets import journey_stage
from tests.drills.harness.product_stage import ProductStage


@pytest.fixture(scope="session")
def product(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProductStage]:
    """Start one `api` and two `ws` Daphnes on the test database."""
    with django_db_blocker.unblock():
        stage = journey_stage(tmp_path_factory.mktemp("product"))
    with stage:
        yield stage
