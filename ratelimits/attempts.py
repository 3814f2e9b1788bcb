"""Limits failures (wrong passwords) per key, exactly also when attempts are concurrent.

An attempt reserves a slot before it is checked and settles it as failed or not. Failures and attempts in flight
together never exceed the limit, so of forty concurrent guesses five are answered.
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

# The limit of an address is this many times that of an account: an office behind one address must not lock itself
# out, while guesses at many accounts are still stopped.
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
    in_flight_until = EXCLUDED.in_flight_until
WHERE CASE WHEN stored.ends_at <= %(now)s THEN 0 ELSE stored.failures END
    + CASE WHEN stored.in_flight_until <= %(now)s THEN 0 ELSE stored.in_flight END < %(most)s
"""
_SETTLE_SQL: Final = """
UPDATE ratelimits_failedattempts SET
    in_flight = GREATEST(in_flight - 1, 0),
    failures = CASE WHEN %(forgive)s THEN 0 ELSE failures + %(failed)s END,
    ends_at = CASE WHEN failures = 0 AND %(failed)s > 0 THEN %(ends)s ELSE ends_at END
WHERE policy = %(policy)s AND key = %(key)s
"""
_PURGE_SQL: Final = """
DELETE FROM ratelimits_failedattempts WHERE id IN (
    SELECT id FROM ratelimits_failedattempts WHERE ends_at <= %s AND in_flight_until <= %s
    ORDER BY ends_at LIMIT 100 FOR UPDATE SKIP LOCKED
)
"""


class TooManyFailures(Exception):
    """The key has reached its limit of failures in this window; `retry_after` in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many failures; try again in {retry_after} seconds.")
        self.retry_after = retry_after


class Attempt:
    """One attempt in flight; set `failed` where the check fails."""

    def __init__(self) -> None:
        self.failed = False


@contextmanager
def attempt(policy: Policy, *, account: str, address: str, now: datetime) -> Iterator[Attempt]:
    """Reserve a slot of the account and of the address for one attempt, and settle both after the block.

    An account has `policy.most` failures a window from all addresses, an address ADDRESS_FACTOR times as many. Set
    `failed` where the check fails; a success resets the failures of the account, never those of the address. Raises
    TooManyFailures where either has reached its limit. Call it outside of a transaction, which would hold the locks
    of the rows while a password is hashed; nor does the block begin with a connection to the database.
    """
    keys = {f"account:{account}"[:300]: policy.most, f"address:{address}": policy.most * ADDRESS_FACTOR}
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


def purge(now: datetime) -> int:
    """Delete up to 100 rows whose window has ended, and return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_PURGE_SQL, [now, now])
        return int(cursor.rowcount)


def _reserve(policy: Policy, keys: Mapping[str, int], now: datetime) -> None:
    """Reserve a slot of every key; waits up to _MAX_WAIT_SECONDS for attempts in flight, which may succeed."""
    started = time.monotonic()
    while True:
        elapsed = time.monotonic() - started
        retry_after = _try_reserve(policy, keys, now + timedelta(seconds=elapsed))
        release_connection()
        if retry_after is None:
            return
        if retry_after > 0 or elapsed > _MAX_WAIT_SECONDS:
            raise TooManyFailures(max(1, retry_after))
        time.sleep(_POLL_SECONDS)


def _try_reserve(policy: Policy, keys: Mapping[str, int], now: datetime) -> int | None:
    """Return None where every slot was reserved, else the seconds to wait; 0: for attempts in flight."""
    with transaction.atomic(), connection.cursor() as cursor:
        # Always the account first: attempts lock in one order and cannot deadlock.
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
        return 0
    return max(1, round((row.ends_at - now).total_seconds()))


def _settle(policy: Policy, keys: Iterable[str], now: datetime, *, failed: bool, succeeded: bool) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for key in keys:
            cursor.execute(
                _SETTLE_SQL,
                {
                    "policy": policy.name,
                    "key": key,
                    "failed": int(failed),
                    "forgive": succeeded and key.startswith("account:"),
                    "ends": now + timedelta(seconds=policy.window),
                },
            )
    if failed:
        purge(now)
