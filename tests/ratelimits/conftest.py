"""Two servers and a Valkey for all tests of limits."""

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from tests.ratelimits.server_pair import ServerPair, server_pair


@pytest.fixture(scope="session")
def pair(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerPair]:
    """Start the servers and their Valkey once for all tests."""
    with django_db_blocker.unblock():
        stage = server_pair(tmp_path_factory.mktemp("limits"))
    with stage:
        yield ServerPair([stage["all-1"], stage["all-2"]], stage.valkey)
