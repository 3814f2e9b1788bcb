"""The running product, started once for all journeys of a worker."""

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from tests.drills.harness import daphnes


@pytest.fixture(scope="session")
def product(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[daphnes.ProductDaphnes]:
    """One `api` and two `ws` Daphnes on the test database."""
    with django_db_blocker.unblock():
        running = daphnes.plan_product(tmp_path_factory.mktemp("product"))
    try:
        running.start()
        yield running
    finally:
        running.stop()
