"""What `/api/metrics/ratelimit` and `manage.py limits` tell: policies, their decisions, the busiest keys."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.conf import settings
from redis.exceptions import RedisError

from ratelimits import counters, metrics, policies

_MOST_SHOWN: Final = 20
_NOT_SECRET: Final = ("key:", "user:", "address:", "account:")

# What this host has decided, by policy and decision, for as long as Redis is gone.
Decisions = Callable[[], Mapping[tuple[str, str], float]]


def report(*, of_host: Decisions = metrics.of_process) -> dict[str, Any]:
    """This will return the limits with their counts over all processes; of this host, and `partial`, without Redis.

    `hits` are the requests counted since Redis began, `rejections` those of them that were refused. The
    busiest keys are those of the last quarter of an hour (up to two).
    """
    try:
        totals, hits, refused = _cluster()
        partial = False
    except (RedisError, OSError):
        totals, hits, refused = _alone(of_host())
        partial = True
    found = {
        "limiters": {name: _limiter(name, totals) for name in policies.names()},
        "topKeys": [_busy(name, number, refused[name]) for name, number in hits.most_common(_MOST_SHOWN)],
        "whitelist": list(settings.RATE_LIMIT_WHITELIST),
    }
    return found | ({"partial": True} if partial else {})


def masked(key: str) -> str:
    """This will return the key as it may be shown: an id, an address, an account; else only the beginning."""
    return key if key.startswith(_NOT_SECRET) else f"{key[:4]}…"


def _cluster() -> tuple[dict[str, int], Counter[str], Counter[str]]:
    slot = counters.slot(time.time())
    client: Any = counters.redis()
    pipeline = client.pipeline(transaction=False)
    pipeline.hgetall(counters.named("totals"))
    for each in (slot, slot - 1):
        for kind in ("top", "refused"):
            pipeline.zrange(counters.named(kind, each), 0, -1, desc=True, withscores=True)
    raw, *tops = pipeline.execute()
    hits, refused = Counter[str](), Counter[str]()
    for number, top in enumerate(tops):
        (refused if number % 2 else hits).update({member.decode(): int(score) for member, score in top})
    return {name.decode(): int(value) for name, value in raw.items()}, hits, refused


def _alone(decided: Mapping[tuple[str, str], float]) -> tuple[dict[str, int], Counter[str], Counter[str]]:
    totals = {}
    for name in policies.names():
        rejected = int(decided.get((name, "rejected"), 0))
        totals[f"{name}:hits"] = int(decided.get((name, "allowed"), 0)) + rejected
        totals[f"{name}:rejections"] = rejected
    kept = counters.local.busiest()
    hits, refused = Counter[str](), Counter[str]()
    for name, count, over in kept:
        hits[name] += count
        refused[name] += over
    return totals, hits, refused


def _limiter(name: str, totals: Mapping[str, int]) -> dict[str, Any]:
    policy = policies.get(name)
    return {
        "name": name,
        "max": policy.most,
        "window": policy.window,
        "source": policies.source(name),
        "hits": totals.get(f"{name}:hits", 0),
        "rejections": totals.get(f"{name}:rejections", 0),
    }


def _busy(name: str, hits: int, rejections: int) -> dict[str, Any]:
    policy, _, key = name.partition(" ")
    return {"policy": policy, "key": masked(key), "hits": hits, "rejections": rejections}
