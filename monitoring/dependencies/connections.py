"""The database connection of a thread, given back to the pool before a wait that needs none."""

from django.db import connection, transaction


def release_connection() -> None:
    """Give the connection of this thread back to the pool; its next query takes one again.

    Raises RuntimeError inside a transaction, whose locks would be held for the length of the wait. The transaction
    that a TestCase wraps around each test counts as none.
    """
    if connection.in_atomic_block:
        with transaction.atomic(durable=True, savepoint=False):  # raises unless the test's is the only one
            return
    connection.close()
