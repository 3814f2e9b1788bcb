"""One transaction for a whole write: retried after a deadlock, OutcomeUnknown where COMMIT was cut off."""

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final, TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

MAX_RETRIES: Final = 3
# SQLSTATE of serialization_failure and deadlock_detected: everything was rolled back and may succeed next time.
_RETRYABLE: Final = frozenset({"40001", "40P01"})
LOCK_NOT_AVAILABLE: Final = "55P03"
# SQLSTATE classes that end a session: connection exception, operator intervention, system error.
_SESSION_ENDED: Final = ("08", "57P", "58")

Result = TypeVar("Result")


class OutcomeUnknown(Exception):
    """The connection was lost during COMMIT: the write happened as a whole, or not at all."""


def run_in_transaction(write: Callable[[], Result]) -> Result:
    """Run the write in one transaction, retry it up to three times after a deadlock, and return its result.

    `write` may run several times, so its only side effects are in the database. Raises OutcomeUnknown, and
    whatever `write` raises; nothing is stored then.
    """
    for retry in range(MAX_RETRIES + 1):
        try:
            return _run_once(write)
        except OperationalError as error:
            if sqlstate(error) not in _RETRYABLE or retry == MAX_RETRIES:
                raise
        # Backoff with jitter: the transactions that deadlocked must not collide again.
        time.sleep(random.uniform(0.005, 0.05) * 2**retry)  # noqa: S311  jitter
    raise AssertionError  # the last attempt returns or raises


def atomic_or_joined() -> AbstractContextManager[None]:
    """Return a new transaction, or no savepoint at all where the caller has a transaction.

    It spares two round trips where a service refuses before it writes, so that there is nothing to roll back. An
    error of the database itself breaks the caller's transaction.
    """
    return nullcontext() if connection.in_atomic_block else transaction.atomic()


def sqlstate(error: BaseException) -> str:
    """Return the SQLSTATE of an error (five characters), an empty string where there is none."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def _run_once(write: Callable[[], Result]) -> Result:
    is_committing = False
    try:
        with transaction.atomic():
            result = write()
            is_committing = True
    except (OperationalError, InterfaceError) as error:
        if is_committing and _is_connection_lost(error):
            raise OutcomeUnknown("The connection was lost while committing.") from error
        raise
    return result


def _is_connection_lost(error: DatabaseError | InterfaceError) -> bool:
    state = sqlstate(error)
    return not state or state.startswith(_SESSION_ENDED)
