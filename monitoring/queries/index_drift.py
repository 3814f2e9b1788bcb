"""The system check of `manage.py check --database default` that compares the database's indexes with the models'.

An index made by hand in psql is missing in the next installation, one that was dropped makes a query slow there
alone, and one whose concurrent build broke off is kept up to date but never used.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from django.apps import apps
from django.core.checks import CheckMessage
from django.core.checks import Warning as CheckWarning
from django.db import connections, models
from django.db.backends.utils import CursorWrapper
from django.db.migrations.executor import MigrationExecutor

_UNUSABLE: Final = """
SELECT pg_class.relname, indrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE NOT (indisvalid AND indisready) AND pg_class.relnamespace = 'public'::regnamespace ORDER BY 1
"""


def check_indexes(*, databases: Collection[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Return a warning for each index that is missing, was made by hand, or cannot be used.

    Nothing where no database was asked for, or where migrations are pending: those make the difference.
    """
    messages: list[CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            continue
        with connection.cursor() as cursor:
            for options in (model._meta for model in apps.get_models()):  # noqa: SLF001  documented API of Django
                if options.managed and not options.proxy:
                    found = connection.introspection.get_constraints(cursor, options.db_table)
                    messages += _compare(options, found)
            messages += _unusable(cursor)
    return messages


def _compare(options: Any, found: Mapping[str, Any]) -> Iterator[CheckMessage]:
    """Compare a model's options (`_meta`) with what `get_constraints` returned for its table."""
    table = options.db_table
    named = {index.name for index in options.indexes}
    named |= {each.name for each in options.constraints if isinstance(each, models.UniqueConstraint)}
    for name in sorted(named - found.keys()):
        yield _missing(table, name)
    columns = [tuple(each["columns"]) for each in found.values() if each["index"] or each["unique"]]
    fields: list[Any] = [field for field in options.local_fields if field.column]
    indexed: list[str] = [field.column for field in fields if field.db_index or field.unique]
    for column in indexed:
        if (column,) not in columns:
            yield _missing(table, f"on ({column})")
    for name, each in sorted(found.items()):
        if name not in named and _is_made_by_hand(each, indexed):
            yield CheckWarning(
                f"The index {name} on {table} is in no migration.",
                hint="Add it to the model with AddIndexConcurrently, or drop it: another installation lacks it.",
                id="monitoring.W002",
            )


def _is_made_by_hand(found: Mapping[str, Any], indexed: Sequence[str]) -> bool:
    """Tell whether it is a plain index that no field of the model asks for; `indexed` are the columns of those."""
    if not found["index"] or found["unique"] or found["primary_key"] or found["foreign_key"] or found["check"]:
        return False
    return tuple(found["columns"]) not in {(column,) for column in indexed}


def _missing(table: str, what: str) -> CheckMessage:
    return CheckWarning(
        f"The index {what} of {table} is missing.",
        hint="It was dropped by hand: CREATE INDEX CONCURRENTLY makes it again (see `manage.py sqlmigrate`).",
        id="monitoring.W001",
    )


def _unusable(cursor: CursorWrapper) -> Iterator[CheckMessage]:
    cursor.execute(_UNUSABLE)
    for name, table in cursor.fetchall():
        yield CheckWarning(
            f"The index {name} on {table} is invalid: writes keep it up to date and no query uses it.",
            hint="Its concurrent build broke off, or is under way. REINDEX INDEX CONCURRENTLY builds it again.",
            id="monitoring.W003",
        )
