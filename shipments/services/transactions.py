"""One transaction for a whole write: again after a deadlock, and honest where the end of it is unknown."""

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final, TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

MAX_RETRIES: Final = 3
# SQLSTATE: serialization_failure and deadlock_detected roll everything back, and may go well the next time.
_RETRYABLE: Final = frozenset({"40001", "40P01"})
LOCK_NOT_AVAILABLE: Final = "55P03"
# Classes of SQLSTATE with which a session ends: connection exception, operator intervention, system error.
_SESSION_ENDED: Final = ("08", "57P", "58")

Result = TypeVar("Result")


class OutcomeUnknown(Exception):
    """The connection was lost while committing: the write happened as a whole, or not at all."""


def run_in_transaction(write: Callable[[], Result]) -> Result:
    """Run the write in one transaction, up to three times more after a deadlock, and return its result.

    `write` may run several times, so it does nothing but use the database. Raises OutcomeUnknown, and whatever
    `write` raises; nothing is kept then.
    """
    for retry in range(MAX_RETRIES + 1):
        try:
            return _run_once(write)
        except OperationalError as error:
            if sqlstate(error) not in _RETRYABLE or retry == MAX_RETRIES:
                raise
        # Those who met must not meet again.
        time.sleep(random.uniform(0.005, 0.05) * 2**retry)
    raise AssertionError  # the last round returns or raises


def atomic_or_joined() -> AbstractContextManager[None]:
    """Return the transaction of a service that refuses before it writes: the caller's, where it has one.

    A savepoint would be two round trips more, for what nobody has to undo. An error of the database itself ends
    the caller's transaction.
    """
    return nullcontext() if connection.in_atomic_block else transaction.atomic()


def sqlstate(error: BaseException) -> str:
    """Return the five characters by which PostgreSQL names an error, none where it could not say."""
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
