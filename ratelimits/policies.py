"""The declared limits: a number of requests (or failures) in a window, under a name.

The defaults are `settings.RATE_LIMITS`, from the environment; the changes of operators (`ratelimits.overrides`)
take precedence.
"""

from dataclasses import dataclass, replace

from django.conf import settings

from ratelimits import overrides


@dataclass(frozen=True, slots=True)
class Policy:
    """At most `most` requests in `window` seconds."""

    name: str
    most: int
    window: int


def names() -> tuple[str, ...]:
    """Return the names of the declared policies."""
    return tuple(settings.RATE_LIMITS)


def default(name: str) -> Policy:
    """Return a policy with the numbers of the environment; raises KeyError for an undeclared name."""
    most, window = settings.RATE_LIMITS[name]
    return Policy(name, most, window)


def get(name: str) -> Policy:
    """Return a policy with its current numbers; raises KeyError for an undeclared name."""
    changed = overrides.current().policies.get(name)
    return Policy(name, *changed) if changed else default(name)


def for_key(name: str, key: str) -> Policy | None:
    """Return a policy with the current numbers for one key, None where the key has no limit."""
    policy = get(name)
    key_overrides = overrides.current().keys
    if (name, key) not in key_overrides:
        return policy
    most = key_overrides[name, key]
    return None if most is None else replace(policy, most=most)


def for_shared_key(name: str, key: str) -> Policy | None:
    """Return a policy with the limit of all API keys of one user together, None where they have no limit.

    That is RATE_LIMIT_USER_FACTOR times the policy's, unless an operator has set another.
    """
    policy = for_key(name, key)
    if policy is None or has_own_limit(name, key):
        return policy
    return replace(policy, most=policy.most * settings.RATE_LIMIT_USER_FACTOR)


def has_own_limit(name: str, key: str) -> bool:
    """Tell whether an operator has given the key a limit of its own under a policy."""
    return (name, key) in overrides.current().keys


def source(name: str) -> str:
    """Return the source of a policy's numbers: `admin`, `environment` or `default`."""
    if name in overrides.current().policies:
        return "admin"
    return "environment" if name in settings.RATE_LIMITS_SET else "default"
