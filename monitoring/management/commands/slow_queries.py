"""`manage.py slow_queries`: the queries of all processes that took longer than SLOW_QUERY_MS."""

from typing import Any

import redis
from django.core.management.base import BaseCommand, CommandError, CommandParser

from monitoring.queries import slow_queries
from monitoring.queries.explain import explain


class Command(BaseCommand):
    """Lists slow queries, the slowest first, or forgets them."""

    help = "List the slow queries of all processes, the worst first; with --explain also the plan of each."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--explain", action="store_true", help="ask PostgreSQL for a plan, without running it")
        parser.add_argument("--limit", type=int, default=20, help="list no more than this many (20)")
        parser.add_argument("--reset", action="store_true", help="forget all that were recorded")

    def handle(self, *_: Any, **options: Any) -> None:
        """Print the queries, with --explain also their plans; raises CommandError where Redis does not answer."""
        try:
            if options["reset"]:
                self.stdout.write(f"Forgot {slow_queries.reset()} slow queries.")
                return
            entries = slow_queries.stored_entries()[: max(0, options["limit"])]
        except (redis.RedisError, OSError) as error:
            raise CommandError(
                f"Redis at REDIS_URL does not answer ({type(error).__name__}), and the slow queries are kept there."
            ) from None
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
