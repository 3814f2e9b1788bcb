"""One server for all tests that do not end it."""

from collections.abc import Iterator

import pytest

from tests.freight.server.server_process import ServerProcess, run_server


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Our server with the small applications; it cuts a stalled stream after three seconds."""
    with run_server(tmp_path_factory.mktemp("served"), stalled_seconds=3) as running:
        yield running
