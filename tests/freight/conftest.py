"""One server for all tests that do not end it."""

from collections.abc import Iterator

import pytest

from tests.freight.served import Served, serving


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Our server with the small applications; it cuts a stalled stream after three seconds."""
    with serving(tmp_path_factory.mktemp("served"), stalled_seconds=3) as running:
        yield running
