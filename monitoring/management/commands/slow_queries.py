"""`manage.py slow_queries`: the queries of all processes that took longer than SLOW_QUERY_MS."""

import re
from typing import Any, Final

import psycopg
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, connection, transaction

from monitoring.queries import slow_queries

_PLACEHOLDER: Final = re.compile(r"\?")
_EXPLAINABLE: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES", "TABLE")


class Command(BaseCommand):
    """Lists slow queries, the slowest first."""

    help = "List the slow queries of all processes, the worst first; with --explain also the plan of each."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--explain", action="store_true", help="ask PostgreSQL for a plan, without running it")
        parser.add_argument("--limit", type=int, default=20)

    def handle(self, *_: Any, **options: Any) -> None:
        """Print the queries, with --explain also their plans."""
        entries = slow_queries.entries()[: options["limit"]]
        if not entries:
            self.stdout.write("No slow queries.")
        for entry in entries:
            summary = entry.to_json()
            self.stdout.write(
                f"{summary['maxMs']:.0f} ms at most, {summary['meanMs']:.0f} ms on average,"
                f" {summary['count']} times, last {summary['lastAt']}, {summary['route']}\n  {summary['sql']}"
            )
            if options["explain"]:
                self.stdout.write("\n".join(f"  | {line}" for line in explain(entry.sql)))


def explain(sql: str) -> list[str]:
    """Return the lines of PostgreSQL's generic plan, without values; the query is not executed."""
    if not sql.upper().startswith(_EXPLAINABLE) or ";" in sql:
        return ["only a single query has a plan"]
    positions = iter(range(1, sql.count("?") + 1))
    numbered = _PLACEHOLDER.sub(lambda _: f"${next(positions)}", sql)
    nulls = ", ".join(["NULL"] * sql.count("?"))
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            cursor.execute("SET LOCAL statement_timeout = 5000")
            # Past Django: the text may contain placeholders of the driver.
            cursor.cursor.execute(f"PREPARE freight_explained AS {numbered}")
            try:
                call = f"freight_explained({nulls})" if nulls else "freight_explained"
                cursor.cursor.execute(f"EXPLAIN EXECUTE {call}")
                return [row[0] for row in cursor.fetchall()]
            finally:
                transaction.set_rollback(True)
    except (DatabaseError, psycopg.Error) as error:
        return [f"cannot be explained: {str(error).splitlines()[0]}"]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")
