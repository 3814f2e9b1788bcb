"""What the checks look at, on the real parts."""

from pathlib import Path

import pytest
from django.db import connection
from health_check.exceptions import ServiceUnavailable, ServiceWarning
from pytest_django import Settings

from monitoring.dependencies import probes


async def check_error(check: probes.PostgreSQL) -> str | None:
    try:
        await check.run()
    except ServiceUnavailable as error:
        return str(error.message)
    finally:
        await check._close()
    return None


@pytest.fixture
def database_settings(committed: None, settings: Settings) -> None:
    """Django renamed the database for the tests in its connection; the settings follow in pytest-django."""
    assert settings.DATABASES["default"]["NAME"] == connection.settings_dict["NAME"]


@pytest.mark.usefixtures("database_settings")
async def test_a_migrated_database_is_well() -> None:
    assert await check_error(probes.PostgreSQL()) is None


@pytest.mark.usefixtures("database_settings")
async def test_a_migration_that_has_not_run_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = probes._known_migrations() | {("shipments", "9999_tomorrow")}
    monkeypatch.setattr(probes, "_known_migrations", lambda: known)

    assert await check_error(probes.PostgreSQL()) == "migrations are pending"


async def test_a_database_that_is_away_is_missed(settings: Settings, tmp_path: Path) -> None:
    away = {**settings.DATABASES["default"], "HOST": str(tmp_path), "PORT": "1"}

    assert await check_error(probes.PostgreSQL(away)) == "does not answer"


async def test_redis_is_asked_without_retries(settings: Settings) -> None:
    await probes.redis_check().run()

    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    with pytest.raises(ServiceUnavailable):
        await probes.redis_check().run()


def test_a_missing_part_is_looked_for_once() -> None:
    lookups: list[int] = []
    part = probes.OptionalFeature(is_present=lambda: bool(lookups.append(1)))

    for _ in range(2):
        with pytest.raises(ServiceWarning, match="is missing"):
            part.run()
    assert lookups == [1]
