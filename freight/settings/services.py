"""DATABASES, CACHES and CHANNEL_LAYERS, as functions of the services' URLs."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from psycopg.conninfo import conninfo_to_dict

from monitoring.dependencies import deadlines


def databases(url: str, *, pool_size: int) -> dict[str, dict[str, Any]]:
    """Return DATABASES for a PostgreSQL URL; `pool_size` is the most connections of one process."""
    conninfo = conninfo_to_dict(url)
    return {
        "default": {
            "ENGINE": "freight.database",
            "NAME": str(conninfo.pop("dbname", "freight")),
            "USER": str(conninfo.pop("user", "")),
            "PASSWORD": str(conninfo.pop("password", "")),
            "HOST": str(conninfo.pop("host", "")),
            "PORT": str(conninfo.pop("port", "")),
            "CONN_MAX_AGE": 0,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {
                "connect_timeout": 3,
                # One wrong or missing letter in a name of eight leaves about half of its trigrams.
                "options": (
                    "-c lock_timeout=2000 -c idle_in_transaction_session_timeout=60000"
                    " -c pg_trgm.word_similarity_threshold=0.45"
                ),
                "application_name": "freight",
                # Repeated queries are planned once a connection: planning a shipment with its places and parties
                # takes PostgreSQL ten times as long as executing it.
                "server_side_binding": True,
                "prepare_threshold": 3,
                "pool": {
                    "min_size": 1,
                    "max_size": pool_size,
                    "timeout": deadlines.DATABASE_TIMEOUT_SECONDS,
                    "max_idle": 60,
                    "connection_class": deadlines.DeadlineConnection,
                    # Give up after one second instead of backing off: the next request then connects at once.
                    "reconnect_timeout": 1,
                },
                **conninfo,
            },
        }
    }


def caches(url: str, *, ttl_seconds: int) -> dict[str, dict[str, Any]]:
    """Return CACHES for a Redis URL."""
    return {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": url,
            "KEY_PREFIX": "freight",
            "TIMEOUT": ttl_seconds,
            "OPTIONS": {
                # Never pickle: write access to Redis must not become code execution.
                "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
                "CONNECTION_POOL_CLASS": "monitoring.dependencies.deadlines.DeadlineConnectionPool",
                "SOCKET_CONNECT_TIMEOUT": deadlines.REDIS_CONNECT_TIMEOUT_SECONDS,
                "SOCKET_TIMEOUT": deadlines.REDIS_COMMAND_TIMEOUT_SECONDS,
            },
        },
        # django-ratelimit counts through this cache; its counters use a Redis connection of their own.
        "limits": {"BACKEND": "ratelimits.django_ratelimit_adapter.CounterCache"},
    }


def channel_layers(url: str) -> dict[str, dict[str, Any]]:
    """Return CHANNEL_LAYERS for a Redis URL.

    Redis publishes to the subscribers of all its databases: the prefix keeps two installations apart.
    """
    parts = urlsplit(url)
    path = "" if parts.scheme == "unix" else parts.path.strip("/")
    number = parse_qs(parts.query).get("db", [path])[0]
    return {
        "default": {
            "BACKEND": "realtime.publishing.channel_layer.HintChannelLayer",
            "CONFIG": {
                "hosts": [{"address": url, "socket_connect_timeout": 0.2}],
                "prefix": f"freight{'' if number == '0' else number}",
            },
        }
    }
