"""`manage.py limits`: the limits, the busiest keys, and a reset of one key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import RedisError

from monitoring import clock
from ratelimits import changes, overrides, report
from ratelimits.models import KeyLimit


class Command(BaseCommand):
    """Shows the limits, or resets one key."""

    help = "Show the rate limits with their source and the busiest keys; --reset KEY gives a key its window anew."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the option."""
        parser.add_argument(
            "--reset", metavar="KEY", help="as it is shown: key:…, user:…, address:…; account:<e-mail> for logins"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Print the tables, or the counts that were reset."""
        overrides.refresh()
        if options["reset"]:
            self._reset(options["reset"])
            return
        summary = report.staff_report()
        self._table(
            ("policy", "max", "window", "source", "hits", "rejections"),
            [
                (each["name"], each["max"], f"{each['window']}s", each["source"], each["hits"], each["rejections"])
                for each in summary["limiters"].values()
            ],
        )
        key_limits = KeyLimit.objects.order_by("policy", "key")
        self._table(
            ("policy", "key", "max of its own"),
            [
                (row.policy, report.mask_key(row.key), "none" if row.most is None else row.most)
                for row in key_limits
            ],
        )
        self._table(
            ("policy", "busiest keys", "hits", "rejections", "owner"),
            [
                (each["policy"], each["key"], each["hits"], each["rejections"], each.get("owner", ""))
                for each in summary["topKeys"]
            ],
        )
        self.stdout.write(f"whitelist: {', '.join(summary['whitelist']) or 'empty'}")
        if summary.get("partial"):
            self.stderr.write(self.style.WARNING("Redis does not answer: every process counts alone now."))

    def _reset(self, key: str) -> None:
        try:
            used = changes.reset(by=None, now=clock.compared_now(), key=key)
        except (RedisError, OSError) as error:
            raise CommandError(
                "Redis does not answer: there is nothing to reset; each process counts alone."
            ) from error
        if not used:
            raise CommandError(f"{report.mask_key(key)} has used nothing in the current windows.")
        usage = ", ".join(f"{policy} {count}" for policy, count in used.items())
        self.stdout.write(self.style.SUCCESS(f"{report.mask_key(key)} begins anew; it had used {usage}."))

    def _table(self, head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
        if not rows:
            return
        lines = [tuple(map(str, row)) for row in (head, *rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        for number, line in enumerate(lines):
            text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            self.stdout.write(self.style.MIGRATE_HEADING(text) if number == 0 else text)
        self.stdout.write("")
