"""Limits failures (wrong passwords) per key, exactly: attempts that run together cannot share one chance.

An attempt takes a place before it is checked and gives it back as failed or not. Failures and attempts in
flight never exceed the limit together, so forty guesses at once still get five answers.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction

from ratelimits.models import FailedAttempts
from ratelimits.policies import Policy

# How many times an account's chances an address has: behind one there may be a whole office, whose people must
# not lock each other out, while somebody who tries many accounts is still stopped.
ADDRESS_FACTOR: Final = 10
_LEASE_DURATION: Final = timedelta(seconds=15)
_MAX_WAIT_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.05
_RESERVE_SQL: Final = """
INSERT INTO ratelimits_failedattempts AS kept (policy, key, failures, ends_at, in_flight, in_flight_until)
VALUES (%(policy)s, %(key)s, 0, %(ends)s, 1, %(lease)s)
ON CONFLICT (policy, key) DO UPDATE SET
    failures = CASE WHEN kept.ends_at <= %(now)s THEN 0 ELSE kept.failures END,
    ends_at = CASE WHEN kept.ends_at <= %(now)s THEN EXCLUDED.ends_at ELSE kept.ends_at END,
    in_flight = CASE WHEN kept.in_flight_until <= %(now)s THEN 0 ELSE kept.in_flight END + 1,
    in_flight_until = EXCLUDED.in_flight_until
WHERE CASE WHEN kept.ends_at <= %(now)s THEN 0 ELSE kept.failures END
    + CASE WHEN kept.in_flight_until <= %(now)s THEN 0 ELSE kept.in_flight END < %(most)s
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
    """The key has no chance left in this window; `retry_after` in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many failures; try again in {retry_after} seconds.")
        self.retry_after = retry_after


class Attempt:
    """One attempt being checked; it counts as no failure unless told."""

    def __init__(self) -> None:
        self.failed = False


@contextmanager
def attempt(policy: Policy, *, account: str, address: str, now: datetime) -> Iterator[Attempt]:
    """Hold a place for one attempt of the account and of the address while it is checked.

    An account has `policy.most` failures a window from wherever they come, an address ten times that.

    Set `failed` where the check fails; a success forgives the account's failures, never the address's.
    Raises TooManyFailures where either has no chance left. Not to be called inside a transaction: it
    would hold the rows while a password is hashed.
    """
    keys = {f"account:{account}"[:300]: policy.most, f"address:{address}": policy.most * ADDRESS_FACTOR}
    _reserve(policy, keys, now)
    current_attempt = Attempt()
    is_finished = False
    try:
        yield current_attempt
        is_finished = True
    finally:
        # What breaks off was neither right nor, unless it said so, wrong.
        _settle(
            policy, keys, now, failed=current_attempt.failed, succeeded=is_finished and not current_attempt.failed
        )


def purge(now: datetime) -> int:
    """Remove up to 100 counts whose window is over, and return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_PURGE_SQL, [now, now])
        return int(cursor.rowcount)


def _reserve(policy: Policy, keys: Mapping[str, int], now: datetime) -> None:
    """Take a place for every key; it waits a little for attempts that may yet succeed."""
    started = time.monotonic()
    while True:
        elapsed = time.monotonic() - started
        retry_after = _try_reserve(policy, keys, now + timedelta(seconds=elapsed))
        if retry_after is None:
            return
        if retry_after > 0 or elapsed > _MAX_WAIT_SECONDS:
            raise TooManyFailures(max(1, retry_after))
        time.sleep(_POLL_SECONDS)


def _try_reserve(policy: Policy, keys: Mapping[str, int], now: datetime) -> int | None:
    """Return None where it took every place, else the seconds to wait; 0: until others are checked."""
    with transaction.atomic(), connection.cursor() as cursor:
        # Always the account first: two attempts can then never wait for each other.
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
