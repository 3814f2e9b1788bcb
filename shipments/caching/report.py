"""Reports about the caches, for detailed health and `/api/metrics/cache`."""

from typing import Any, cast

from django.core.cache import caches as django_caches
from redis.exceptions import RedisError

from monitoring.prometheus.samples import SampleSet
from monitoring.reports import json_reports


def hit_rate() -> dict[str, Any]:
    """Return the part of detailed health about the cache: the rate of hits, 0 to 1."""
    return {"hitRate": _hit_rates(json_reports.host_samples())["hitRate"]}


def cache_report() -> dict[str, Any]:
    """Return the body of `/api/metrics/cache`; size, TTL (s) and evictions are those of the whole Redis."""
    numbers = json_reports.current_samples()
    names = numbers.total_by("cache", "cache_requests_total")
    return (
        _hit_rates(numbers)
        | _redis_memory()
        | {"byName": {name: _hit_rates(numbers, cache=name) for name in sorted(names)}}
    )


def _hit_rates(samples: SampleSet, **labels: str) -> dict[str, Any]:
    hits = int(samples.total("cache_requests_total", result="hit", **labels))
    misses = int(samples.total("cache_requests_total", result="miss", **labels))
    return {"hits": hits, "misses": misses, "hitRate": round(hits / (hits + misses), 4) if hits + misses else 0.0}


def _redis_memory() -> dict[str, Any]:
    redis_info: dict[str, Any] = {}
    if not json_reports.is_partial():
        try:
            redis_info = cast("Any", django_caches["default"]).client.get_client().info()
        except (RedisError, OSError):
            redis_info = {}
    # The database with most keys stands for the installation; a shared Redis may have others.
    database: dict[str, Any] = max(
        (each for name, each in redis_info.items() if name.startswith("db")), key=_key_count, default={}
    )
    return {
        "size": int(database.get("keys", 0)),
        "maxSize": redis_info.get("maxmemory") or None,
        "ttlAverage": round(database["avg_ttl"] / 1000, 1) if database.get("avg_ttl") else None,
        "evictions": int(redis_info.get("evicted_keys", 0)),
    }


def _key_count(database: dict[str, Any]) -> int:
    return int(database.get("keys", 0))
