"""PostgreSQL's plan of a statement that is known without its values, read or write; nothing is executed."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from django.db import DatabaseError, connection, transaction

from monitoring.sql_text import MAX_LENGTH

_STATEMENT: Final = "freight_explained"
_EXPLAINABLE: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "TABLE")
# A constant of a type, written as in SQL (`interval ?`): a parameter takes a cast instead.
_TYPED_CONSTANT: Final = re.compile(r"\b(INTERVAL|DATE|TIMESTAMP|TIMESTAMPTZ|TIME)\s+\?", re.IGNORECASE)
_PLACEHOLDER: Final = re.compile(r"\?")
_SECONDS: Final = 5


def explain(sql: str) -> list[str]:
    """Return the lines of PostgreSQL's generic plan for a normalised statement, or one line that says why not.

    The statement is prepared and explained without ANALYZE, in a transaction that is rolled back.
    """
    if not sql.lstrip("( ").upper().startswith(_EXPLAINABLE) or ";" in sql:
        return ["only a single query has a plan"]
    if len(sql) >= MAX_LENGTH:
        return [f"cannot be explained: only its first {MAX_LENGTH} characters are known"]
    try:
        with _rolled_back() as cursor:
            cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            cursor.execute(f"SET LOCAL statement_timeout = '{_SECONDS}s'")
            _prepare(cursor, sql)
            nulls = ", ".join(["NULL"] * sql.count("?"))
            cursor.execute(f"EXPLAIN EXECUTE {_STATEMENT}({nulls})" if nulls else f"EXPLAIN EXECUTE {_STATEMENT}")
            return [line for (line,) in cursor.fetchall()]
    except (DatabaseError, psycopg.Error) as error:
        return [f"cannot be explained: {str(error).splitlines()[0]}"]


@contextmanager
def _rolled_back() -> Iterator[psycopg.Cursor[Any]]:
    """Yield the driver's cursor: Django would take a `%` of the text for a placeholder."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            yield cursor.cursor
            transaction.set_rollback(True)
    finally:
        # A prepared statement is the session's, and outlives the transaction.
        with connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")


def _prepare(cursor: psycopg.Cursor[Any], sql: str) -> None:
    """Prepare the statement; a parameter of an unknown type becomes a text. Raises psycopg.Error."""
    texts: set[int] = set()
    while True:
        try:
            cursor.execute("SAVEPOINT freight_prepare")
            cursor.execute(f"PREPARE {_STATEMENT} AS {_numbered(sql, texts)}")
        except psycopg.errors.IndeterminateDatatype as error:
            found = re.search(r"\$(\d+)", str(error))
            number = int(found[1]) if found else 0
            if not number or number in texts:
                raise
            texts.add(number)
            cursor.execute("ROLLBACK TO SAVEPOINT freight_prepare")
        else:
            return


def _numbered(sql: str, texts: set[int]) -> str:
    """Return the statement with `$1`, `$2`, … in place of its placeholders; `texts` are cast to text."""
    numbers = iter(range(1, sql.count("?") + 1))

    def parameter(_: re.Match[str]) -> str:
        number = next(numbers)
        return f"${number}::text" if number in texts else f"${number}"

    return _PLACEHOLDER.sub(parameter, _TYPED_CONSTANT.sub(r"?::\1", sql))
