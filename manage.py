#!/usr/bin/env python
"""Freight's command line."""

import os
import sys


def main() -> None:
    """Run one management command; what an operator can mend is told in a sentence."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "freight.settings")
    from django.core.exceptions import ImproperlyConfigured  # after the variable is set
    from django.core.management import execute_from_command_line
    from django.db import OperationalError, ProgrammingError

    try:
        execute_from_command_line(sys.argv)
    except (ImproperlyConfigured, OperationalError, ProgrammingError) as error:
        reason = _mendable(error)
        if reason is None or "--traceback" in sys.argv:
            raise
        sys.exit(reason)


def _mendable(error: Exception) -> str | None:
    """Return what an operator can do about an error, None for one of the program's own."""
    from django.core.exceptions import ImproperlyConfigured
    from django.db import OperationalError

    if isinstance(error, ImproperlyConfigured):
        return str(error)
    if isinstance(error, OperationalError):
        return f"PostgreSQL at DATABASE_URL does not serve this command: {str(error).strip()}"
    undefined_table = getattr(error.__cause__, "sqlstate", None) == "42P01"
    return "The database at DATABASE_URL lacks tables: run manage.py migrate." if undefined_table else None


if __name__ == "__main__":
    main()
