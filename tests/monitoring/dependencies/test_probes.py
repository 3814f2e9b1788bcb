"""The health checks, on the real PostgreSQL and Redis."""

from pathlib import Path

import psycopg
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
    """Assert that the settings name the test database, as Django's connection does."""
    assert settings.DATABASES["default"]["NAME"] == connection.settings_dict["NAME"]


@pytest.mark.usefixtures("database_settings")
async def test_a_migrated_database_passes() -> None:
    assert await check_error(probes.PostgreSQL()) is None


@pytest.mark.usefixtures("database_settings")
async def test_a_pending_migration_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    known = probes._known_migrations() | {("shipments", "9999_tomorrow")}
    monkeypatch.setattr(probes, "_known_migrations", lambda: known)

    assert await check_error(probes.PostgreSQL()) == "migrations are pending"


async def test_an_unreachable_database_fails_the_check(settings: Settings, tmp_path: Path) -> None:
    unreachable = {**settings.DATABASES["default"], "HOST": str(tmp_path), "PORT": "1"}

    assert await check_error(probes.PostgreSQL(unreachable)) == "does not answer"


async def test_a_database_that_refuses_is_told_from_one_that_is_gone(committed: None, settings: Settings) -> None:
    default = settings.DATABASES["default"]
    no_database, no_user = {**default, "NAME": "missing"}, {**default, "USER": "missing"}

    reasons = {await check_error(probes.PostgreSQL(each)) for each in (no_database, no_user)}

    assert reasons == {"has no such database or user"}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("connection failed: FATAL:  sorry, too many clients already", "has no connection left"),
        ("FATAL:  remaining connection slots are reserved for roles", "has no connection left"),
        ('FATAL:  password authentication failed for user "freight"', "refuses the password"),
        ("FATAL:  the database system is starting up", "does not answer"),
        ('connection to server on socket "/run/.s" failed: No such file or directory', "does not answer"),
        ("connection timeout expired", "does not answer"),
    ],
)
def test_the_reason_has_the_words_of_an_operator(message: str, reason: str) -> None:
    assert probes._reason(psycopg.OperationalError(message)) == reason


async def test_an_unreachable_redis_fails_the_check(settings: Settings) -> None:
    await probes.redis_check().run()

    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    with pytest.raises(ServiceUnavailable):
        await probes.redis_check().run()


def test_a_missing_feature_is_checked_once() -> None:
    lookups: list[int] = []

    def is_present() -> bool:
        lookups.append(1)
        return False

    feature = probes.OptionalFeature(is_present=is_present)

    for _ in range(2):
        with pytest.raises(ServiceWarning, match="is missing"):
            feature.run()
    assert lookups == [1]
