"""The report of `/api/metrics/ratelimit` and `manage.py limits`: policies, their decisions, the busiest keys."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from django.conf import settings
from redis.exceptions import RedisError

from ratelimits import counters, metrics, policies

_MAX_SHOWN: Final = 20
_PUBLIC_PREFIXES: Final = ("key:", "keys:", "user:", "address:", "account:")

# Returns who keys belong to, by key as it is shown; set by the composition root.
OwnerNames = Callable[[Iterable[str]], Mapping[str, str]]
_owner_names: list[OwnerNames] = []
# The decisions of this host by policy and decision, used while Redis does not answer.
Decisions = Callable[[], Mapping[tuple[str, str], float]]


def register_owner_names(names: OwnerNames) -> None:
    """Ask `names` who the busiest keys belong to; the last call counts."""
    _owner_names[:] = [names]


def staff_report(*, host_decisions: Decisions = metrics.process_decisions) -> dict[str, Any]:
    """Return the report with `owner` of each busiest key that has one, for staff alone; raises DatabaseError."""
    body = report(host_decisions=host_decisions)
    names = _owner_names[-1](entry["key"] for entry in body["topKeys"]) if _owner_names else {}
    return body | {
        "topKeys": [
            entry | ({"owner": names[entry["key"]]} if entry["key"] in names else {}) for entry in body["topKeys"]
        ]
    }


def report(*, host_decisions: Decisions = metrics.process_decisions) -> dict[str, Any]:
    """Return the limits with their counts over all processes; without Redis those of this host, and `partial`.

    `hits` are the requests counted since Redis started, `rejections` those of them that were refused. The busiest
    keys are those of the current and the previous quarter of an hour.
    """
    try:
        totals, hits, rejections = _totals_from_redis()
        is_partial = False
    except (RedisError, OSError):
        totals, hits, rejections = _totals_of_host(host_decisions())
        is_partial = True
    body = {
        "limiters": {name: _limiter_entry(name, totals) for name in policies.names()},
        "topKeys": [
            _top_key_entry(name, number, rejections[name]) for name, number in hits.most_common(_MAX_SHOWN)
        ],
        "whitelist": list(settings.RATE_LIMIT_WHITELIST),
    }
    return body | ({"partial": True} if is_partial else {})


def mask_key(key: str) -> str:
    """Return the key as it may be shown: an id, address or account as it is, else only its first characters."""
    return key if key.startswith(_PUBLIC_PREFIXES) else f"{key[:4]}…"


def _totals_from_redis() -> tuple[dict[str, int], Counter[str], Counter[str]]:
    current_slot = counters.slot_number(time.time())
    client: Any = counters.redis_client()
    pipeline = client.pipeline(transaction=False)
    pipeline.hgetall(counters.redis_key("totals"))
    for each in (current_slot, current_slot - 1):
        for kind in ("top", "refused"):
            pipeline.zrange(counters.redis_key(kind, each), 0, -1, desc=True, withscores=True)
    raw, *tops = pipeline.execute()
    hits, rejections = Counter[str](), Counter[str]()
    for number, top in enumerate(tops):
        (rejections if number % 2 else hits).update({member.decode(): int(score) for member, score in top})
    return {name.decode(): int(value) for name, value in raw.items()}, hits, rejections


def _totals_of_host(
    decisions: Mapping[tuple[str, str], float],
) -> tuple[dict[str, int], Counter[str], Counter[str]]:
    totals = {}
    for name in policies.names():
        rejected = int(decisions.get((name, "rejected"), 0))
        totals[f"{name}:hits"] = int(decisions.get((name, "allowed"), 0)) + rejected
        totals[f"{name}:rejections"] = rejected
    busiest = counters.local_counters.busiest_keys()
    hits, rejections = Counter[str](), Counter[str]()
    for name, count, over in busiest:
        hits[name] += count
        rejections[name] += over
    return totals, hits, rejections


def _limiter_entry(name: str, totals: Mapping[str, int]) -> dict[str, Any]:
    policy = policies.get(name)
    return {
        "name": name,
        "max": policy.most,
        "window": policy.window,
        "source": policies.source(name),
        "hits": totals.get(f"{name}:hits", 0),
        "rejections": totals.get(f"{name}:rejections", 0),
    }


def _top_key_entry(name: str, hits: int, rejections: int) -> dict[str, Any]:
    policy, _, key = name.partition(" ")
    return {"policy": policy, "key": mask_key(key), "hits": hits, "rejections": rejections}
