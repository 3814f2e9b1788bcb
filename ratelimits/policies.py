"""The declared limits: so many requests (or failures) in a window, under a name.

The environment says what holds by default (`settings.RATE_LIMITS`); what operators have changed since lies
over it (`ratelimits.overrides`).
"""

from dataclasses import dataclass, replace

from django.conf import settings

from ratelimits import overrides


@dataclass(frozen=True, slots=True)
class Policy:
    """At most `most` in `window` seconds."""

    name: str
    most: int
    window: int


def names() -> tuple[str, ...]:
    """Return the name of every policy that is declared."""
    return tuple(settings.RATE_LIMITS)


def default(name: str) -> Policy:
    """Return the policy as the environment has it; raises KeyError for a name that nobody declared."""
    most, window = settings.RATE_LIMITS[name]
    return Policy(name, most, window)


def get(name: str) -> Policy:
    """Return the policy as it stands now; raises KeyError for a name that nobody declared."""
    changed = overrides.current().policies.get(name)
    return Policy(name, *changed) if changed else default(name)


def for_key(name: str, key: str) -> Policy | None:
    """Return the policy as it stands now for one key, None where that is held by no limit."""
    policy = get(name)
    key_overrides = overrides.current().keys
    if (name, key) not in key_overrides:
        return policy
    most = key_overrides[name, key]
    return None if most is None else replace(policy, most=most)


def source(name: str) -> str:
    """Tell where the policy's numbers come from: `admin`, `environment` or `default`."""
    if name in overrides.current().policies:
        return "admin"
    return "environment" if name in settings.RATE_LIMITS_SET else "default"
