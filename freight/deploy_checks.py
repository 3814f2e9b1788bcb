"""What `manage.py check --deploy` asks of an installation beside Django's own checks.

With `--database default` it also asks PostgreSQL and Redis, and looks for accounts with the demo's public password.
"""

from collections.abc import Collection, Iterator
from typing import Any

import redis
from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.db import OperationalError, connections
from django.db.migrations.executor import MigrationExecutor

from shipments.demo.accounts import DEMO_ACCOUNTS, PASSWORD, RIVAL_ACCOUNTS
from shipments.models import User

_LOCAL_HOSTS = {"127.0.0.1", "localhost", "::1", "[::1]"}
_EXTENSION = "pg_trgm"


@register(deploy=True)
def check_settings(**_: Any) -> list[CheckMessage]:
    """Warn where browsers would get 400, or 403 on every WebSocket, and where missing processes go unnoticed."""
    messages: list[CheckMessage] = []
    if not settings.DEMO and set(settings.ALLOWED_HOSTS) <= _LOCAL_HOSTS:
        messages.append(
            CheckWarning(
                "ALLOWED_HOSTS names no host but this machine's: requests to any other name are answered with 400.",
                hint="ALLOWED_HOSTS=freight.example names the hosts in the address bar of your users.",
                id="freight.W001",
            )
        )
    if not settings.WS_CORS_ORIGINS:
        messages.append(
            CheckWarning(
                "WS_CORS_ORIGINS is empty: the board's own WebSockets are answered with 403.",
                hint="WS_CORS_ORIGINS=https://freight.example names scheme, host and port as browsers show them.",
                id="freight.W002",
            )
        )
    if not settings.DEMO and not settings.EXPECTED_PROCESSES:
        messages.append(
            CheckWarning(
                "EXPECTED_PROCESSES is not set: no health line and no alert names a server that does not run.",
                hint="EXPECTED_PROCESSES=api=2,ws=2,relay=1 says how many run on all hosts together.",
                id="freight.W003",
            )
        )
    return messages


@register(Tags.database, deploy=True)
def check_services(*, databases: Collection[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Fail where PostgreSQL or Redis does not answer or is not ready; nothing where no database was asked for."""
    if not databases:
        return []
    messages = [*_check_redis()]
    for alias in databases:
        try:
            messages += _check_database(alias)
        except OperationalError as error:
            reason = next(iter(str(error).strip().splitlines()), "it does not answer")
            messages.append(Error(f"PostgreSQL at DATABASE_URL does not answer: {reason}", id="freight.E002"))
    return messages


def _check_redis() -> Iterator[CheckMessage]:
    try:
        client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)
        with client:
            client.ping()
    except (redis.RedisError, OSError) as error:
        yield Error(
            f"Redis at REDIS_URL does not answer ({type(error).__name__}).",
            hint="Freight runs without it, slower: updates take two seconds, each process counts limits alone.",
            id="freight.E003",
        )


def _check_database(alias: str) -> Iterator[CheckMessage]:
    executor = MigrationExecutor(connections[alias])
    if pending := executor.migration_plan(executor.loader.graph.leaf_nodes()):
        yield Error(
            f"{len(pending)} migrations are pending: no process gets ready.",
            hint="Run manage.py migrate, before the new version is started.",
            id="freight.E004",
        )
        return
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_extension WHERE extname = %s", [_EXTENSION])
        if not cursor.fetchone()[0]:
            yield Error(
                f"The database lacks the extension {_EXTENSION}: every search fails.",
                hint=f"CREATE EXTENSION {_EXTENSION}, as an administrator of the database.",
                id="freight.E005",
            )
    if not settings.DEMO:
        yield from _demo_accounts()


def _demo_accounts() -> Iterator[CheckMessage]:
    """Warn of accounts that were made while this installation was a demo, and still have the public password."""
    emails = [account.email for account in (*DEMO_ACCOUNTS, *RIVAL_ACCOUNTS)]
    rows = User.objects.filter(email__in=emails, is_active=True).order_by("-is_superuser", "email")
    found = [row for row in rows if check_password(PASSWORD, row.password)]
    if found:
        kind = "superuser" if found[0].is_superuser else "account"
        yield Error(
            f"The {kind} {found[0].email} and {len(found) - 1} more accounts have the demo's public password.",
            hint="Deactivate them in the admin: this database was a demo's.",
            id="freight.E006",
        )
