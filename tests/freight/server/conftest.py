"""One server process for all tests that do not stop it."""

from collections.abc import Iterator

import pytest

from tests.freight.server.server_process import ServerProcess, run_server


@pytest.fixture(scope="session")
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Run a server that aborts a stalled stream after three seconds."""
    with run_server(tmp_path_factory.mktemp("server"), stalled_seconds=3) as running:
        yield running
