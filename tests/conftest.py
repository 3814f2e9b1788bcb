"""Fixtures for every test: real PostgreSQL and Valkey, started by `tests.backing_services`."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test.utils import setup_databases, teardown_databases
from pytest_django import DjangoDbBlocker, Settings

from monitoring.dependencies import deadlines
from monitoring.dependencies.breaker import redis_breaker
from ratelimits import counters
from tests.drills.harness.fault_proxy import FaultProxy


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Create the test database, and terminate its last sessions (event loops, servers) before it is dropped.

    pytest-django's own fixture makes one only where a collected test has its marker; a run of nothing but
    `committed` tests would write into the real database.
    """
    with django_db_blocker.unblock():
        databases = setup_databases(
            verbosity=0, interactive=False, aliases={"default": True}, serialized_aliases=set()
        )
    yield
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                # Not PostgreSQL's own workers: DROP DATABASE ends them.
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
        teardown_databases(databases, verbosity=0)


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Allow database access in which COMMIT commits and nothing is cleaned up afterwards.

    The event log refuses TRUNCATE. Each test creates an organisation of its own and sees no rows of others.
    """
    with django_db_blocker.unblock():
        yield
        connection.close()


@pytest.fixture
def fresh_redis_breaker() -> Iterator[None]:
    """Close the circuit breaker that limits and caches share, before and after the test."""
    redis_breaker.reset()
    yield
    redis_breaker.reset()


@pytest.fixture
def patient_redis(monkeypatch: pytest.MonkeyPatch, fresh_redis_breaker: None) -> Iterator[None]:
    """Let counters wait for Redis as long as a loaded machine takes: they count alone where a wait ends early."""
    for name in ("COMMAND_TIMEOUT", "REQUEST_BUDGET"):
        monkeypatch.setattr(deadlines, f"REDIS_{name}_SECONDS", 10.0)
    pool = counters.redis_client().connection_pool
    for name in ("socket_timeout", "socket_connect_timeout"):
        monkeypatch.setitem(pool.connection_kwargs, name, 10.0)
    pool.disconnect()
    yield
    pool.disconnect()


@pytest.fixture
async def redis_proxy(settings: Settings, fresh_redis_breaker: None) -> AsyncIterator[FaultProxy]:
    """Put a proxy that can be slow or silent before the real Valkey, for counters and cache."""
    url = urlsplit(django_settings.REDIS_URL)
    database_number = parse_qs(url.query)["db"][0]
    async with FaultProxy(Path(url.path)) as proxy:
        proxied_url = f"redis://127.0.0.1:{proxy.port}/{database_number}"
        settings.REDIS_URL = proxied_url
        settings.CACHES = {
            **settings.CACHES,
            "default": settings.CACHES["default"] | {"LOCATION": proxied_url},
        }
        yield proxy
