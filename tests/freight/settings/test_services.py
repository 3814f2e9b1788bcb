"""What the settings make of the services' URLs."""

import pytest

from freight.settings import services


def prefix(url: str) -> str:
    return str(services.channel_layers(url)["default"]["CONFIG"]["prefix"])


@pytest.mark.parametrize(
    "url", ["redis://cache", "redis://cache:6379/", "redis://cache/0", "unix:///run/valkey.sock?db=0"]
)
def test_hints_through_the_first_database_of_redis_have_the_plain_prefix(url: str) -> None:
    assert prefix(url) == "freight"


@pytest.mark.parametrize(
    "url", ["redis://:secret@cache:6379/7", "rediss://cache?db=7", "unix:///run/valkey.sock?db=7"]
)
def test_installations_in_other_databases_of_a_redis_hear_no_hints_of_each_other(url: str) -> None:
    assert prefix(url) == "freight7"
