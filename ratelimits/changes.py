"""Changes of limits at run time: every process applies them within two seconds, and `limit_changed` is sent.

Each function is one transaction. `by` is passed on to the receivers of the signal.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import Q

from ratelimits import attempts, counters, limiter, overrides, policies, signals
from ratelimits.models import FailedAttempts, KeyLimit, PolicyLimit

MAX_REQUESTS: Final = 2**31 - 1
MAX_WINDOW_SECONDS: Final = 31 * 86400
_UUID: Final = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SUBJECT_KEY: Final = re.compile(f"(keys?|user):{_UUID}")


class InvalidLimit(ValueError):
    """An invalid limit; `field` names the invalid value."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def set_policy(*, by: object, now: datetime, policy: str, most: int, window: int) -> None:
    """Set a policy to `most` requests in `window` seconds, over the environment; raises InvalidLimit."""
    _require_policy(policy)
    _require_number("most", most, MAX_REQUESTS)
    _require_number("window", window, MAX_WINDOW_SECONDS)
    with transaction.atomic():
        before = _lock_policy(policy)
        PolicyLimit.objects.update_or_create(
            policy=policy, defaults={"most": most, "window": window, "changed_at": now}
        )
        _announce_change(by, now, policy, before, _lock_policy(policy))


def clear_policy(*, by: object, now: datetime, policy: str) -> None:
    """Set a policy back to the numbers of the environment."""
    with transaction.atomic():
        before = _lock_policy(policy)
        if PolicyLimit.objects.filter(policy=policy).delete()[0]:
            _announce_change(by, now, policy, before, _lock_policy(policy))


def set_key(*, by: object, now: datetime, policy: str, key: str, most: int | None) -> None:
    """Give one key its own limit (None: no limit) in the window of the policy; raises InvalidLimit."""
    _require_policy(policy)
    if policy == "auth":
        raise InvalidLimit("policy", "The limit on guessing passwords has no exceptions.")
    key = canonical_key(key)
    if most is not None:
        _require_number("most", most, MAX_REQUESTS)
    with transaction.atomic():
        before = _lock_key(policy, key)
        KeyLimit.objects.update_or_create(policy=policy, key=key, defaults={"most": most, "changed_at": now})
        _announce_change(by, now, f"{policy} {key}", before, {"max": most})


def clear_key(*, by: object, now: datetime, policy: str, key: str) -> None:
    """Set a key back to the limit of the policy."""
    with transaction.atomic():
        before = _lock_key(policy, key)
        if KeyLimit.objects.filter(policy=policy, key=key).delete()[0]:
            _announce_change(by, now, f"{policy} {key}", before, None)


def reset(*, by: object, now: datetime, key: str) -> dict[str, int]:
    """Reset the counters of a key in the current windows, and return their counts by policy.

    Failed logins are reset, too: of an account (`account:<e-mail address>`, wherever they came from) or an address.
    Raises RedisError or OSError where Redis does not answer; the processes then count alone.
    """
    client: Any = counters.redis_client()
    used: dict[str, int] = {}
    for policy, counter in limiter.current_counters(key).items():
        count = client.getdel(counters.redis_key("count", counter))
        if count:
            used[policy] = int(count)
    with transaction.atomic():
        failed_attempts = FailedAttempts.objects.filter(_failed_logins(key), policy="auth")
        failures = sum(row.failures for row in failed_attempts.select_for_update())
        failed_attempts.update(failures=0, refusal_noted=False)
        if failures:
            used["auth"] = failures
        if used:
            _announce_change(by, now, f"reset {key}", used, None)
    return used


def _failed_logins(key: str) -> Q:
    """Return the condition for the failed logins of a key."""
    kind, _, name = key.partition(":")
    rows = Q(key=key) | Q(key=f"address:{key}")
    if kind == "account":
        return rows | Q(key__startswith="login:", key__endswith=f" {name}")
    return rows | Q(key__startswith=attempts.login_key(key, "")) if kind == "address" else rows


def canonical_key(key: str) -> str:
    """Return the key as the limiter uses it; raises InvalidLimit."""
    kind, _, rest = key.strip().partition(":")
    if kind == "address":
        try:
            return limiter.address_key(rest.removesuffix("/64"))
        except ValueError:
            pass
    elif _SUBJECT_KEY.fullmatch(key.strip().lower()):
        return key.strip().lower()
    raise InvalidLimit(
        "key",
        "A key is key:<id of an API key>, user:<id>, keys:<id of a user> for all its API keys,"
        " or address:<IP address>.",
    )


def _require_policy(name: str) -> None:
    if name not in policies.names():
        raise InvalidLimit("policy", f"There is no such policy; there are {', '.join(policies.names())}.")


def _require_number(field: str, number: int, high: int) -> None:
    if not 1 <= number <= high:
        raise InvalidLimit(field, f"Give a whole number from 1 to {high}.")


def _lock_policy(name: str) -> dict[str, Any]:
    row = PolicyLimit.objects.select_for_update().filter(policy=name).first()
    if row is not None:
        return {"max": row.most, "window": row.window, "source": "admin"}
    # A row may be of a policy that is no longer declared.
    declared = policies.default(name) if name in policies.names() else None
    return {"max": declared and declared.most, "window": declared and declared.window, "source": "environment"}


def _lock_key(policy: str, key: str) -> dict[str, Any] | None:
    row = KeyLimit.objects.select_for_update().filter(policy=policy, key=key).first()
    return None if row is None else {"max": row.most}


def _announce_change(
    by: object, now: datetime, name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> None:
    signals.limit_changed.send(sender=PolicyLimit, by=by, now=now, name=name, before=before, after=after)
    # This process applies the change at once, without waiting for its next poll.
    transaction.on_commit(overrides.refresh, robust=True)
