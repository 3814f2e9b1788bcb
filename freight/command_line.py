"""How a command ends: by one sentence that an operator can act on, or by a traceback of the program's own fault."""

import signal
import sys
from collections.abc import Callable

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, ProgrammingError, connection

INTERRUPTED = 128 + signal.SIGINT
# Where it ignores the parameter, lock_timeout is gone, and a session lock of ours stays with whoever comes next.
_PGBOUNCER = (
    ": a PgBouncer is at DATABASE_URL. Freight pools connections itself and holds locks for whole sessions, so give"
    " it PostgreSQL's own address."
)


def run(command: Callable[[], object], *, traceback: bool) -> None:
    """Run a command; `traceback` shows that of an error that an operator can mend, too.

    Raises SystemExit: with a sentence, or with status 130 after Ctrl-C.
    """
    try:
        command()
    except KeyboardInterrupt:
        print("\nInterrupted: the command did not finish.", file=sys.stderr)  # noqa: T201  for the terminal
        sys.exit(INTERRUPTED)
    except (ImproperlyConfigured, OperationalError, ProgrammingError) as error:
        reason = _mendable(error)
        if reason is None or traceback:
            raise
        sys.exit(reason)


def _mendable(error: Exception) -> str | None:
    """Return what an operator can do about an error, None for one of the program's own."""
    if isinstance(error, ImproperlyConfigured):
        return str(error)
    if isinstance(error, OperationalError):
        return f"PostgreSQL at DATABASE_URL does not serve this command: {_connection_error() or _one_line(error)}"
    undefined_table = getattr(error.__cause__, "sqlstate", None) == "42P01"
    return "The database at DATABASE_URL lacks tables: run manage.py migrate." if undefined_table else None


def _connection_error() -> str:
    """Return why no connection can be made, empty where one can: a pool only says that it got none in time."""
    try:
        psycopg.connect(**connection.get_connection_params()).close()
    except psycopg.Error as error:
        return _one_line(error) + (_PGBOUNCER if "unsupported startup parameter" in str(error) else "")
    return ""


def _one_line(error: Exception) -> str:
    """Return the first line of an error; libpq's name host, port, user and database, never the password."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
