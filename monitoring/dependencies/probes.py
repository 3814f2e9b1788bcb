"""The health checks of Freight: PostgreSQL and its migrations, the clock, Redis, channel layer, features, disk."""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import psycopg
import redis.asyncio
from channels.layers import get_channel_layer
from django.conf import settings
from django.db.migrations.loader import MigrationLoader
from health_check.base import HealthCheck
from health_check.contrib.redis import Redis
from health_check.exceptions import ServiceUnavailable, ServiceWarning
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from monitoring import clock, disks

_CHANNEL_LAYER_SECONDS: Final = 0.5
DOES_NOT_ANSWER: Final = "does not answer"
# What PostgreSQL refuses while it does answer, by what it says; a failed connection bears no SQLSTATE.
_REFUSALS: Final = {
    "too many clients": "has no connection left",
    "remaining connection slots": "has no connection left",
    "too many connections": "has no connection left",
    "password authentication failed": "refuses the password",
    "no pg_hba.conf entry": "refuses this host or user",
    "permission denied": "refuses this user",
    "does not exist": "has no such database or user",
}
# It starts, stops or recovers: it does not answer yet.
_UNAVAILABLE: Final = "the database system is"


@dataclasses.dataclass
class PostgreSQL(HealthCheck):  # type: ignore[misc]  # the library is untyped
    """Checks that PostgreSQL answers and has every migration of this code.

    It has its own connection: a pool that requests have exhausted must not look like a database that is down.
    """

    # The settings of the database; those of `default` where it is None.
    database: Mapping[str, Any] | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._is_migrated = False

    async def run(self) -> None:
        """Raise ServiceUnavailable unless the database answers and is migrated."""
        try:
            if self._connection is None:
                self._connection = await _connect(self.database or settings.DATABASES["default"])
            await _compare_clocks(self._connection)
            pending = not self._is_migrated and await self._has_pending_migrations(self._connection)
        except (psycopg.Error, OSError) as error:
            await self._close()
            raise ServiceUnavailable(_reason(error)) from error
        if pending:
            raise ServiceUnavailable("migrations are pending")
        # The code of a process does not change, so its migrations need no second check.
        self._is_migrated = True

    async def _has_pending_migrations(self, connection: psycopg.AsyncConnection[Any]) -> bool:
        try:
            cursor = await connection.execute("SELECT app, name FROM django_migrations")
        except psycopg.errors.UndefinedTable:
            return True
        return bool(_known_migrations() - set(await cursor.fetchall()))

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


async def _compare_clocks(connection: psycopg.AsyncConnection[Any]) -> None:
    before = time.time()
    cursor = await connection.execute(clock.QUERY)
    row = await cursor.fetchone()
    if row is not None:
        clock.observe(before=before, database=row[0], after=time.time())


@dataclasses.dataclass
class Clock(HealthCheck):  # type: ignore[misc]  # the library is untyped
    """Whether the host's clock and the database's agree, as the check of PostgreSQL last found them."""

    def run(self) -> None:
        """Raise ServiceWarning where they differ by more than WARN_SECONDS."""
        skew = clock.skew()
        if abs(skew) > clock.WARN_SECONDS:
            raise ServiceWarning(clock.description(skew))


def _reason(error: Exception) -> str:
    """Return why the database cannot be used, in words that may be public."""
    message = str(error)
    if _UNAVAILABLE in message:
        return DOES_NOT_ANSWER
    return next((reason for said, reason in _REFUSALS.items() if said in message), DOES_NOT_ANSWER)


@dataclasses.dataclass
class OptionalFeature(HealthCheck):  # type: ignore[misc]  # the library is untyped
    """A feature that an installation may lack; checked once, as it does not appear while the process runs."""

    is_present: Callable[[], bool] = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        self._is_present: bool | None = None

    def run(self) -> None:
        """Raise ServiceWarning where the feature is missing."""
        if self._is_present is None:
            self._is_present = self.is_present()
        if not self._is_present:
            raise ServiceWarning("is missing")


@dataclasses.dataclass
class ChannelLayer(HealthCheck):  # type: ignore[misc]  # the library is untyped
    """Publishes to a group without members, as a hint would be published."""

    async def run(self) -> None:
        """Raise ServiceUnavailable unless the layer accepts a message within _CHANNEL_LAYER_SECONDS."""
        layer: Any = get_channel_layer()
        try:
            async with asyncio.timeout(_CHANNEL_LAYER_SECONDS):
                await layer.group_send("freight-health", {"type": "health"})
        except (OSError, RedisError, TimeoutError) as error:
            raise ServiceUnavailable("does not answer") from error


@dataclasses.dataclass
class Disks(HealthCheck):  # type: ignore[misc]  # the library is untyped
    """The disks on which Freight keeps files, each named by its first folder."""

    def run(self) -> None:
        """Raise ServiceWarning where one is almost full."""
        full = [
            f"{folder} {ratio:.0%}" for folder, ratio in disks.measure().items() if ratio >= disks.ALMOST_FULL_RATIO
        ]
        if full:
            raise ServiceWarning(f"almost full: {', '.join(full)}")


def redis_check() -> Redis:
    """Return the library's check of Redis, with timeouts and without retries."""
    return Redis(
        client_factory=lambda: redis.asyncio.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=0.5,
            socket_connect_timeout=0.5,
            retry=Retry(NoBackoff(), 0),
        )
    )


async def _connect(database: Mapping[str, Any]) -> psycopg.AsyncConnection[Any]:
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    excluded = {"pool", "options", "application_name", "connect_timeout", "server_side_binding"}
    return await psycopg.AsyncConnection.connect(
        **{name: database[key] for name, key in names.items() if database[key]},
        **{name: value for name, value in database["OPTIONS"].items() if name not in excluded},
        autocommit=True,
        application_name="freight health",
        connect_timeout=3,
        # End the connection to a peer that vanished silently, so that the next check connects anew.
        tcp_user_timeout=10_000,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
    )


def _known_migrations() -> set[tuple[str, str]]:
    """Return the migrations on disk, without those that a squashed one replaces."""
    known = MigrationLoader(None).disk_migrations or {}
    replaced = {each for migration in known.values() for each in migration.replaces}
    return set(known) - replaced
