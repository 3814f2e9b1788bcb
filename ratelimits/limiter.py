"""Counts requests against policies, in fixed windows, exactly even when they arrive together."""

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django_ratelimit.core import get_usage

from ratelimits import counters, metrics, policies
from ratelimits.counters import CounterIncrement
from ratelimits.policies import Policy


@dataclass(frozen=True, slots=True)
class Usage:
    """How one key stands against a policy; `reset` in seconds."""

    policy: Policy
    count: int
    reset: int

    @property
    def allowed(self) -> bool:
        """Whether the request may go on."""
        return self.count <= self.policy.most

    @property
    def headers(self) -> dict[str, str]:
        """The header fields of this policy alone."""
        return headers([self])


def headers(usages: Sequence[Usage]) -> dict[str, str]:
    """Return the fields of draft-ietf-httpapi-ratelimit-headers, and Retry-After for a refusal."""
    if not usages:
        return {}
    fields = {
        "RateLimit-Policy": ", ".join(
            f'"{each.policy.name}";q={each.policy.most};w={each.policy.window}' for each in usages
        ),
        "RateLimit": ", ".join(
            f'"{each.policy.name}";r={max(0, each.policy.most - each.count)};t={each.reset}' for each in usages
        ),
    }
    wait = retry_after(usages)
    return fields if wait is None else fields | {"Retry-After": str(wait)}


def retry_after(usages: Iterable[Usage]) -> int | None:
    """Return the seconds until every exceeded window is over, None where none is exceeded."""
    return max((usage.reset for usage in usages if not usage.allowed), default=None)


def hit(policy: Policy, key: str) -> Usage:
    """Count one request of the key and tell how it stands; one round trip to Redis.

    While Redis is gone, this process counts for itself: the limit then holds per process.
    """
    return hit_all([policy], key)[0]


def hit_all(applied_policies: Sequence[Policy], key: str) -> list[Usage]:
    """Count one request of the key against several policies, still in one round trip."""
    return hit_many([(policy, key) for policy in applied_policies])


def hit_many(hits: Sequence[tuple[Policy, str]]) -> list[Usage]:
    """Count each key once against the policy beside it, in this order and one round trip."""
    return (hit_in_redis(hits) or hit_locally(hits)) if hits else []


def hit_in_redis(hits: Sequence[tuple[Policy, str]]) -> list[Usage] | None:
    """Do the same, but return None where Redis does not answer."""
    return _hit(hits, counters.count_in_redis)


def hit_locally(hits: Sequence[tuple[Policy, str]]) -> list[Usage]:
    """Count each key once in this process and not in Redis."""
    return _hit(hits, counters.count_locally) or []


def _hit(
    hits: Sequence[tuple[Policy, str]], count: Callable[[Sequence[CounterIncrement]], list[int] | None]
) -> list[Usage] | None:
    with counters.capture_counters() as captured:
        # The counter bears no limit in its name: a limit that is changed goes on counting where it was.
        windows = [
            get_usage(None, group=policy.name, key=lambda *_, key=key: key, rate=(1, policy.window), increment=True)
            for policy, key in hits
        ]
    counts = count(
        [
            CounterIncrement(counter, seconds, policy.name, policy.most, key)
            for (policy, key), (counter, seconds) in zip(hits, captured, strict=True)
        ]
    )
    if counts is None:
        return None
    usages = [
        Usage(policy, number, max(1, int(window["time_left"])))
        for (policy, _), number, window in zip(hits, counts, windows, strict=True)
    ]
    for usage in usages:
        metrics.count_decision(usage.policy.name, "allowed" if usage.allowed else "rejected")
    return usages


def check(names: Sequence[str], key: str, *, subject: object = None) -> list[Usage]:
    """Count one request of a subject under a key against the policies of these names, as they stand now.

    Empty where nothing holds it: the subject is exempt, or the key has no limit.
    """
    return hit_all(applicable_policies(names, key, subject=subject), key)


def applicable_policies(names: Sequence[str], key: str, *, subject: object = None) -> list[Policy]:
    """Return those of the policies that hold the subject under a key, as they stand now."""
    exempt = is_exempt(subject)
    applicable = []
    for name in names:
        policy = None if exempt else policies.for_key(name, key)
        if policy is None:
            metrics.count_decision(name, "exempt")
        else:
            applicable.append(policy)
    return applicable


def current_counters(key: str) -> dict[str, str]:
    """Return the counters of a key in the present windows, by policy."""
    counter_names = {}
    for name in policies.names():
        with counters.capture_counters() as captured:
            get_usage(None, group=name, key=lambda *_: key, rate=(1, policies.get(name).window), increment=True)
        counter_names[name] = captured[0][0]
    return counter_names


def address_key(address: str | None) -> str:
    """Return what an address is counted by: IPv4 itself, IPv6 its /64, which is one subscriber's."""
    if address is None:
        return "address:unknown"
    parsed = ipaddress.ip_address(address)
    return f"address:{parsed if parsed.version == 4 else ipaddress.ip_network((parsed, 64), strict=False)}"


def is_exempt(subject: object) -> bool:
    """Tell whether the subject is a service that no limit holds back (RATE_LIMIT_WHITELIST).

    It is named by its id, or by the name of its key or account where that is staff's: anybody else may call
    a key what they like.
    """
    whitelist = settings.RATE_LIMIT_WHITELIST
    if subject is None or not whitelist:
        return False
    identifiers = [getattr(subject, attribute, None) for attribute in ("key_id", "user_id")]
    if getattr(subject, "is_staff", False):
        identifiers += [getattr(subject, attribute, None) for attribute in ("key_name", "name")]
    return any(str(each) in whitelist for each in identifiers if each)
