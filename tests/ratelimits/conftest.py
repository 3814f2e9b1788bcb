"""Two Daphnes and a Valkey for all tests of limits, started once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from freight.embedded import layout
from tests.drills.harness.backing_services import ValkeyService
from tests.ratelimits import server_pair as pair_
from tests.ratelimits.server_pair import ServerPair


@pytest.fixture(scope="session")
def pair(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerPair]:
    """Both, started once."""
    folder = tmp_path_factory.mktemp("limits")
    place = layout.at(Path(folder) / "home")
    place.make_folders()
    redis = ValkeyService(place)
    redis.launch()
    try:
        redis.wait_ready()
        with django_db_blocker.unblock():
            made = [pair_.build_daphne(number, folder, place.endpoints.redis_url) for number in range(2)]
        try:
            for each in made:
                each.start()
            for each in made:
                each.wait_ready()
            yield ServerPair(made, redis)
        finally:
            for each in made:
                each.stop()
    finally:
        redis.stop()
