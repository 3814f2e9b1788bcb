"""Limits failures (wrong passwords) per key, exactly also when attempts are concurrent.

An attempt reserves a slot before it is checked and settles it as failed or not. Failures and attempts in flight
together never exceed the limit, so of forty concurrent guesses five are answered. Which keys count an attempt, and
why a known device is counted alone: docs/decisions/0048.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction

from monitoring.dependencies.connections import release_connection
from ratelimits.models import FailedAttempts
from ratelimits.policies import Policy

# The limits of an account from all addresses, and of an address for all accounts, as multiples of the policy's.
ACCOUNT_FACTOR: Final = 20
ADDRESS_FACTOR: Final = 10
_LEASE_DURATION: Final = timedelta(seconds=15)
_MAX_WAIT_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.05
_RESERVE_SQL: Final = """
INSERT INTO ratelimits_failedattempts AS stored (policy, key, failures, ends_at, in_flight, in_flight_until)
VALUES (%(policy)s, %(key)s, 0, %(ends)s, 1, %(lease)s)
ON CONFLICT (policy, key) DO UPDATE SET
    failures = CASE WHEN stored.ends_at <= %(now)s THEN 0 ELSE stored.failures END,
    ends_at = CASE WHEN stored.ends_at <= %(now)s THEN EXCLUDED.ends_at ELSE stored.ends_at END,
    in_flight = CASE WHEN stored.in_flight_until <= %(now)s THEN 0 ELSE stored.in_flight END + 1,
    in_flight_until = EXCLUDED.in_flight_until,
    refusal_noted = stored.refusal_noted AND stored.ends_at > %(now)s
WHERE CASE WHEN stored.ends_at <= %(now)s THEN 0 ELSE stored.failures END
    + CASE WHEN stored.in_flight_until <= %(now)s THEN 0 ELSE stored.in_flight END < %(most)s
"""
_SETTLE_SQL: Final = """
UPDATE ratelimits_failedattempts SET
    in_flight = GREATEST(in_flight - 1, 0),
    failures = CASE WHEN %(forgive)s THEN 0 ELSE failures + %(failed)s END,
    ends_at = CASE WHEN failures = 0 AND %(failed)s > 0 THEN %(ends)s ELSE ends_at END,
    refusal_noted = refusal_noted AND NOT %(forgive)s
WHERE policy = %(policy)s AND key = %(key)s
"""
_PURGE_SQL: Final = """
DELETE FROM ratelimits_failedattempts WHERE id IN (
    SELECT id FROM ratelimits_failedattempts WHERE ends_at <= %s AND in_flight_until <= %s
    ORDER BY ends_at LIMIT 100 FOR UPDATE SKIP LOCKED
)
"""


class TooManyFailures(Exception):
    """A key has reached its limit of failures in this window.

    `retry_after` in seconds; `limit`: whose it is, `login` (an account from one address), `account`, `address` or
    `device`; `is_first`: whether this is the first refusal of the window.
    """

    def __init__(self, retry_after: int, *, limit: str = "", is_first: bool = False) -> None:
        super().__init__(f"Too many failures; try again in {retry_after} seconds.")
        self.retry_after, self.limit, self.is_first = retry_after, limit, is_first


class Attempt:
    """One attempt in flight; set `failed` where the check fails."""

    def __init__(self) -> None:
        self.failed = False


@contextmanager
def attempt(policy: Policy, *, account: str, address: str, now: datetime, device: str = "") -> Iterator[Attempt]:
    """Reserve a slot under every key of one attempt, and settle them after the block.

    An account has `policy.most` failures a window from one address and ACCOUNT_FACTOR times as many from all, an
    address ADDRESS_FACTOR times as many for all accounts. A device that the account is known to use has
    `policy.most` of its own instead, whatever others do. Set `failed` where the check fails; a success forgives the
    failures of the account from this address, or of the device. Raises TooManyFailures where a limit is reached.
    Call it outside of a transaction, which would hold the locks of the rows while a password is hashed; nor does
    the block begin with a connection to the database.
    """
    keys = _limits(policy, account, address, device)
    _reserve(policy, keys, now)
    current_attempt = Attempt()
    is_finished = False
    try:
        yield current_attempt
        is_finished = True
    finally:
        # A block that raised neither succeeded nor, unless it has set `failed`, failed.
        _settle(
            policy, keys, now, failed=current_attempt.failed, succeeded=is_finished and not current_attempt.failed
        )


def login_key(address: str, account: str) -> str:
    """Return the key of an account from one address. An address has no space, so no account can pass for two."""
    return f"login:{address} {account}"


def purge(now: datetime) -> int:
    """Delete up to 100 rows whose window has ended, and return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_PURGE_SQL, [now, now])
        return int(cursor.rowcount)


def _limits(policy: Policy, account: str, address: str, device: str) -> dict[str, int]:
    """Return the most failures of each key, in the order in which attempts lock their rows: no deadlock."""
    if device:
        return {f"device:{device}": policy.most}
    return {
        login_key(address, account): policy.most,
        f"account:{account}": policy.most * ACCOUNT_FACTOR,
        f"address:{address}": policy.most * ADDRESS_FACTOR,
    }


def _reserve(policy: Policy, keys: Mapping[str, int], now: datetime) -> None:
    """Reserve a slot of every key; waits up to _MAX_WAIT_SECONDS for attempts in flight, which may succeed."""
    started = time.monotonic()
    while True:
        elapsed = time.monotonic() - started
        try:
            refusal = _try_reserve(policy, keys, now + timedelta(seconds=elapsed))
        finally:
            release_connection()
        if refusal is None:
            return
        if refusal.retry_after > 0:
            raise refusal
        if elapsed > _MAX_WAIT_SECONDS:
            raise TooManyFailures(1)
        time.sleep(_POLL_SECONDS)


def _try_reserve(policy: Policy, keys: Mapping[str, int], now: datetime) -> TooManyFailures | None:
    """Return None where every slot was reserved, else the refusal.

    Its `retry_after` is 0 while there are attempts in flight, which may succeed.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        for key, most in keys.items():
            cursor.execute(
                _RESERVE_SQL,
                {
                    "policy": policy.name,
                    "key": key,
                    "now": now,
                    "ends": now + timedelta(seconds=policy.window),
                    "lease": now + _LEASE_DURATION,
                    "most": most,
                },
            )
            if cursor.rowcount == 0:
                transaction.set_rollback(True)
                refused_key = key
                break
        else:
            return None
    row = FailedAttempts.objects.filter(policy=policy.name, key=refused_key).first()
    if row is None or row.failures < keys[refused_key] or row.ends_at <= now:
        return TooManyFailures(0)
    is_first = FailedAttempts.objects.filter(pk=row.pk, refusal_noted=False).update(refusal_noted=True) == 1
    return TooManyFailures(
        max(1, round((row.ends_at - now).total_seconds())),
        limit=refused_key.partition(":")[0],
        is_first=is_first,
    )


def _settle(policy: Policy, keys: Iterable[str], now: datetime, *, failed: bool, succeeded: bool) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for key in keys:
            cursor.execute(
                _SETTLE_SQL,
                {
                    "policy": policy.name,
                    "key": key,
                    "failed": int(failed),
                    "forgive": succeeded and key.startswith(("login:", "device:")),
                    "ends": now + timedelta(seconds=policy.window),
                },
            )
    if failed:
        purge(now)
