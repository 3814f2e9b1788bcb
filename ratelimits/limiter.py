"""Counts requests against a policy, in fixed windows, exactly even when they arrive together."""

import ipaddress
from dataclasses import dataclass

from django.conf import settings
from django_ratelimit.core import get_usage

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
        """The fields of draft-ietf-httpapi-ratelimit-headers, and Retry-After for a refusal."""
        remaining = max(0, self.policy.most - self.count)
        fields = {
            "RateLimit-Policy": f'"{self.policy.name}";q={self.policy.most};w={self.policy.window}',
            "RateLimit": f'"{self.policy.name}";r={remaining};t={self.reset}',
        }
        return fields if self.allowed else fields | {"Retry-After": str(self.reset)}


def hit(policy: Policy, key: str) -> Usage:
    """This will count one request of the key and tell how it stands; one round trip to Redis.

    While Redis is gone, this process counts for itself: the limit then holds per process.
    """
    usage = get_usage(
        None, group=policy.name, key=lambda *_: key, rate=(policy.most, policy.window), increment=True
    )
    return Usage(policy, int(usage["count"]), max(1, int(usage["time_left"])))


def address_key(address: str | None) -> str:
    """This will return what an address is counted by: IPv4 itself, IPv6 its /64, which is one subscriber's."""
    if address is None:
        return "address:unknown"
    parsed = ipaddress.ip_address(address)
    return f"address:{parsed if parsed.version == 4 else ipaddress.ip_network((parsed, 64), strict=False)}"


def is_exempt(subject: object) -> bool:
    """This will tell whether the subject is a service whose key name no limit holds back."""
    name = getattr(subject, "key_name", "")
    return bool(name) and name in settings.RATE_LIMIT_WHITELIST
