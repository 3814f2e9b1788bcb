"""Counts requests against policies in fixed windows, exactly also when they arrive at the same time."""

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from django.conf import settings

from ratelimits import counters, metrics, policies
from ratelimits.counters import CounterIncrement
from ratelimits.django_ratelimit_adapter import WindowCounter, window_counters
from ratelimits.policies import Policy

# What one request counts under one policy: its own key, then the key of all API keys of its user, where it has one.
Hit = tuple[tuple[Policy, str], ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """The count of one key under a policy; `reset` is the rest of its window in seconds."""

    policy: Policy
    count: int
    reset: int

    @property
    def allowed(self) -> bool:
        """Whether the request is within the limit."""
        return self.count <= self.policy.most

    @property
    def headers(self) -> dict[str, str]:
        """The rate limit headers of this policy alone."""
        return headers([self])


def headers(usages: Sequence[Usage], other: Policy | None = None) -> dict[str, str]:
    """Return the headers of draft-ietf-httpapi-ratelimit-headers, and Retry-After where a limit is exceeded.

    `other` is listed last: a policy of the caller that has not counted this request.
    """
    if not usages:
        return {}
    listed = [each.policy for each in usages] + ([other] if other else [])
    fields = {
        "RateLimit-Policy": ", ".join(f'"{policy.name}";q={policy.most};w={policy.window}' for policy in listed),
        "RateLimit": ", ".join(
            f'"{each.policy.name}";r={max(0, each.policy.most - each.count)};t={each.reset}' for each in usages
        ),
    }
    wait = retry_after(usages)
    return fields if wait is None else fields | {"Retry-After": str(wait)}


def retry_after(usages: Iterable[Usage]) -> int | None:
    """Return the seconds until every exceeded window has ended, None where none is exceeded."""
    return max((usage.reset for usage in usages if not usage.allowed), default=None)


def hit(policy: Policy, key: str) -> Usage:
    """Count one request of the key and return its usage; one round trip to Redis.

    While Redis does not answer, this process counts alone: the limit then holds per process.
    """
    return hit_all([policy], key)[0]


def hit_all(applied_policies: Sequence[Policy], key: str) -> list[Usage]:
    """Count one request of the key against several policies in one round trip."""
    return hit_many([((policy, key),) for policy in applied_policies])


def hit_many(hits: Sequence[Hit]) -> list[Usage]:
    """Count each hit once, in this order and one round trip, and return the tightest usage of each."""
    return (hit_in_redis(hits) or hit_locally(hits)) if hits else []


def hit_in_redis(hits: Sequence[Hit]) -> list[Usage] | None:
    """Count as `hit_many` does, but return None where Redis does not answer."""
    return _hit(hits, counters.count_in_redis)


def hit_locally(hits: Sequence[Hit]) -> list[Usage]:
    """Count each hit once in this process and not in Redis."""
    return _hit(hits, counters.count_locally) or []


def _hit(
    hits: Sequence[Hit], count: Callable[[Sequence[CounterIncrement]], list[int] | None]
) -> list[Usage] | None:
    windows = window_counters(chain.from_iterable(hits))
    is_shared = [number > 0 for hit in hits for number in range(len(hit))]
    counts = count(
        [
            CounterIncrement(window.name, window.seconds, policy.name, policy.most, key, shared)
            for (policy, key), window, shared in zip(chain.from_iterable(hits), windows, is_shared, strict=True)
        ]
    )
    if counts is None:
        return None
    counted = zip(counts, windows, strict=True)
    usages = []
    for hit in hits:
        usages.append(_tightest([Usage(policy, *_count_and_reset(next(counted))) for policy, _ in hit]))
        metrics.count_decision(usages[-1].policy.name, "allowed" if usages[-1].allowed else "rejected")
    return usages


def _count_and_reset(counted: tuple[int, WindowCounter]) -> tuple[int, int]:
    count, window = counted
    return count, max(1, window.time_left)


def _tightest(usages: Sequence[Usage]) -> Usage:
    """Return the exceeded usage that lasts longest, else the one with the fewest requests left."""
    return min(
        usages, key=lambda each: (each.allowed, each.policy.most - each.count if each.allowed else -each.reset)
    )


def check(names: Sequence[str], key: str, *, subject: object = None) -> list[Usage]:
    """Count one request of a subject under a key against the named policies, with their current numbers.

    Return the tightest usage of each policy; none where no limit applies: the subject is exempt, or the key has no
    limit.
    """
    return hit_many(applicable_hits(names, key, subject=subject))


def applicable_hits(names: Sequence[str], key: str, *, subject: object = None) -> list[Hit]:
    """Return what a request of the subject under a key counts against the named policies.

    A request by an API key counts for all keys of its user, too (`Subject.shared_limit_key`), unless an operator
    has given the key a limit of its own.
    """
    exempt = is_exempt(subject)
    shared_key: str | None = getattr(subject, "shared_limit_key", None)
    hits: list[Hit] = []
    for name in names:
        policy = None if exempt else policies.for_key(name, key)
        if policy is None:
            metrics.count_decision(name, "exempt")
            continue
        shared = None
        if shared_key is not None and not policies.has_own_limit(name, key):
            shared = policies.for_shared_key(name, shared_key)
        hits.append(((policy, key), (shared, shared_key)) if shared and shared_key else ((policy, key),))
    return hits


def current_counters(key: str) -> dict[str, str]:
    """Return the names of a key's counters in the current windows, by policy."""
    names = policies.names()
    windows = window_counters((policies.get(name), key) for name in names)
    return {name: window.name for name, window in zip(names, windows, strict=True)}


def address_key(address: str | None) -> str:
    """Return the key of an address: an IPv4 address itself, of IPv6 the /64, which is one subscriber's."""
    if address is None:
        return "address:unknown"
    parsed = ipaddress.ip_address(address)
    return f"address:{parsed if parsed.version == 4 else ipaddress.ip_network((parsed, 64), strict=False)}"


def is_exempt(subject: object) -> bool:
    """Return whether the subject is a service without limits (RATE_LIMIT_WHITELIST).

    The list holds ids of keys and users, and names of keys and accounts of staff: anybody else could give a key
    the name of a listed service.
    """
    whitelist = settings.RATE_LIMIT_WHITELIST
    if subject is None or not whitelist:
        return False
    identifiers = [getattr(subject, attribute, None) for attribute in ("key_id", "user_id")]
    if getattr(subject, "is_staff", False):
        identifiers += [getattr(subject, attribute, None) for attribute in ("key_name", "name")]
    return any(str(each) in whitelist for each in identifiers if each)
